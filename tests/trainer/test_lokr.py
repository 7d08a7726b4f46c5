"""The adapter: its layers on the true SDXL, its arithmetic, its names, and what LyCORIS makes of its file."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from hakubooru.errors import ConfigError, ModelError
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.lokr import file, forward, ways
from hakubooru_trainer.lokr.adapter import Adapter, adapter_of
from hakubooru_trainer.lokr.preset import Target, targets
from hakubooru_trainer.model.load import skeleton
from tiny_outputs import TRAINED, outputs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sdxl():
    """The parts of the true SDXL, on the meta device."""
    return {part: skeleton(part, ModelOptions(path="sdxl.safetensors")) for part in TRAINED}


@pytest.fixture(scope="module")
def epsilon(sdxl):
    return Adapter(targets(sdxl, LokrOptions()))


def test_epsilons_layers_and_parameters(epsilon):
    kinds = Counter(("norm" if not t.factor else "lokr", t.part == "unet") for t in epsilon.targets)
    assert kinds == {("lokr", True): 794, ("norm", True): 255, ("lokr", False): 258}
    assert sum(tensor.numel() for _, tensor in epsilon.weights()) == 384_533_744
    factors = {t.name: t.factor for t in epsilon.targets}
    assert factors["lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"] == 4
    assert factors["lora_unet_input_blocks_4_1_transformer_blocks_0_ff_net_0_proj"] == 2
    assert factors["lora_unet_input_blocks_4_1_proj_in"] == 8
    assert factors["lora_te2_text_model_encoder_layers_31_mlp_fc1"] == 8
    assert "lora_te1_text_model_encoder_layers_11_mlp_fc1" not in factors


LAYERS = {
    "linear": lambda: nn.Linear(24, 48),
    "narrowing": lambda: nn.Linear(24, 16),
    "convolution": lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1),
    "point": lambda: nn.Conv2d(16, 24, 1),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("way", ["merged", "factored", "fused", "lycoris"])
def test_forward_and_gradients_are_the_definitions(kind, factor, way):
    layer = LAYERS[kind]().double().requires_grad_(requires_grad=False)
    adapter = Adapter([Target("layer", "unet", layer, factor)], dtype=torch.float64)
    x = (
        torch.randn(2, 16, 6, 6, dtype=torch.float64)
        if kind in {"convolution", "point"}
        else torch.randn(2, 5, 24, dtype=torch.float64)
    )
    x.requires_grad_()
    w1, w2 = (tensor for _, tensor in adapter.weights())
    with torch.no_grad():
        w2.normal_()

    def gradients(y):
        return torch.autograd.grad((y * torch.arange(y.numel()).reshape(y.shape)).sum(), (x, w1, w2))

    kron = torch.einsum("ac,bd...->abcd...", w1, w2).reshape(layer.weight.shape)
    merged = layer.weight + kron
    if isinstance(layer, nn.Linear):
        plain = nn.functional.linear(x, merged, layer.bias)
    else:
        plain = nn.functional.conv2d(x, merged, layer.bias, layer.stride, layer.padding)
    adapter.apply(way)
    expected = gradients(plain)
    for times in (1, 2):  # an update of two micro-steps
        ours = layer(x)
        assert torch.allclose(ours, plain, rtol=1e-12, atol=1e-12)
        (ours * torch.arange(ours.numel()).reshape(ours.shape)).sum().backward()
        adapter.fold()
        for tensor, gradient in zip((x, w1, w2), expected, strict=True):
            assert torch.allclose(tensor.grad, times * gradient, rtol=1e-10, atol=1e-9)

    with torch.no_grad():
        w2.mul_(2)
    adapter.changed()
    kron = torch.einsum("ac,bd...->abcd...", w1, w2).reshape(layer.weight.shape)
    with torch.no_grad():
        output = layer(x)
        adapter.remove()
        difference = output - layer(x)
        layer.weight.copy_(kron)
        layer.bias.zero_()
    assert torch.allclose(difference, layer(x), rtol=1e-9, atol=1e-12)


NORMS = {
    "group": (lambda: nn.GroupNorm(4, 16, eps=1e-6), (2, 16, 6, 6)),
    "layer": (lambda: nn.LayerNorm(16), (2, 5, 16)),
}


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("way", ["auto", "lycoris"])
def test_norms_are_those_of_the_summed_weights(kind, way):
    make, shape = NORMS[kind]
    layer = make().double().requires_grad_(requires_grad=False)
    plain = make().double()
    adapter = Adapter([Target("layer", "unet", layer, 0)], dtype=torch.float64)
    weights = [tensor for _, tensor in adapter.weights()]
    with torch.no_grad():
        for change, own, base in zip(weights, plain.parameters(), layer.parameters(), strict=True):
            change.normal_()
            base.normal_()
            own.copy_(base + change)
    adapter.apply(way)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    expected, actual = plain(x), layer(x)
    assert torch.allclose(actual, expected, rtol=1e-12, atol=1e-12)
    slope = torch.randn(shape, dtype=torch.float64)
    expected_gradients = torch.autograd.grad((expected * slope).sum(), (x, *plain.parameters()))
    actual_gradients = torch.autograd.grad((actual * slope).sum(), (x, *weights))
    for one, two in zip(actual_gradients, expected_gradients, strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-10)


def test_a_norm_in_half_precision_sees_what_is_small():
    layer = nn.LayerNorm(16, dtype=torch.bfloat16).requires_grad_(requires_grad=False)
    adapter = Adapter([Target("layer", "unet", layer, 0)])
    x = torch.randn(1000, 16, dtype=torch.bfloat16) * 100
    expected = nn.functional.layer_norm(x.float(), (16,))
    with torch.no_grad():
        dict(adapter.weights())["layer.w_norm"].fill_(1e-3)  # 1 + 1e-3 is 1 in bfloat16
    adapter.apply("auto")
    assert layer(x).dtype == torch.bfloat16
    assert torch.allclose(layer(x).float().abs().sum() / expected.abs().sum(), torch.tensor(1.001), atol=5e-4)


@pytest.mark.parametrize(
    ("half", "free", "merged"),
    [
        (False, 1 << 40, {"attn", "ff", "shortcut"}),  # where it costs less than the factors
        (False, 3 * 2 * 4 * 64 * 64, {"ff"}),  # as far as memory goes, the dearest first
        (True, 1 << 40, set()),  # a merged weight would lose what is small
    ],
)
def test_the_way_of_each_layer_follows_from_cost_and_memory(monkeypatch, half, free, merged):
    monkeypatch.setattr(ways, "_memory", lambda device: free)
    kinds = {
        "attn": (nn.Linear(64, 64), 4),
        "ff": (nn.Linear(64, 64), 2),
        "time_embed_0": (nn.Linear(64, 64), 2),
        "text": (nn.Linear(64, 64), 8),
        "conv": (nn.Conv2d(64, 64, 3), 8),
        "shortcut": (nn.Conv2d(64, 32, 1), 8),
        "norm": (nn.LayerNorm(64), 0),
    }
    layers = [Target(f"lora_unet_{name}", "unet", *kind) for name, kind in kinds.items()]
    chosen = ways.ways(layers, forward="auto", half=half, device=torch.device("cpu"))
    assert {
        name.removeprefix("lora_unet_") for name, way in chosen.items() if way is forward.Merged
    } == merged
    assert chosen["lora_unet_norm"] is forward.Normed


@pytest.fixture(scope="module")
def adapter_and_outputs(parts):
    """The tiny model, an adapter on it with weights that change something, and the model's output with it."""
    model = parts()
    adapter = Adapter(targets({name: vars(model)[name] for name in TRAINED}, LokrOptions(norms=True)))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, tensor in adapter.weights():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.05)
    return adapter, outputs(model), outputs(model, adapter)


def test_lycoris_loads_the_file_and_gives_the_same(adapter_and_outputs, parts, tmp_path):
    from lycoris import create_lycoris_from_weights
    from lycoris.wrapper import LycorisNetwork

    adapter, output_before, output_after = adapter_and_outputs
    assert (output_after - output_before).abs().max() > 0.01
    path = tmp_path / "adapter.safetensors"
    file.write(path, adapter, torch.float32, {})
    model = parts()
    tensors = file.read(path)
    # LyCORIS looks layers up by the model's own names, which for diffusers are not SGM's.
    by_module = {
        id(target.module): target.name
        for target in targets({n: vars(model)[n] for n in TRAINED}, LokrOptions())
    }
    networks = []
    for part in TRAINED:
        prefix = LycorisNetwork.LORA_PREFIX
        renamed = {}
        for name, module in vars(model)[part].named_modules():
            for key in [k for k in tensors if k.rpartition(".")[0] == by_module.get(id(module))]:
                renamed[f"{prefix}_{name.replace('.', '_')}.{key.rpartition('.')[2]}"] = tensors[key]
        with torch.no_grad():
            network, _ = create_lycoris_from_weights(1.0, None, vars(model)[part], renamed)
        networks.append(network)
    assert sum(len(network.loras) for network in networks) == len(adapter.targets)
    for network in networks:
        network.apply_to()
    assert torch.allclose(outputs(model), output_after, atol=1e-5)
    for network in networks:
        network.restore()
        network.merge_to(1.0)
    assert torch.allclose(outputs(model), output_after, atol=1e-5)


def test_a_file_gives_the_same_adapter_whatever_made_it(adapter_and_outputs, parts, tmp_path):
    adapter, _, output_after = adapter_and_outputs
    path = tmp_path / "adapter.safetensors"
    file.write(path, adapter, torch.float32, {})
    model = parts()
    assert torch.equal(outputs(model, adapter_of(file.read(path), vars(model), str(path))), output_after)


def test_the_start_changes_nothing_and_follows_from_the_seed(shallow_parts):
    model = shallow_parts()
    expected = outputs(model)
    first, same, other = (
        Adapter(targets({"unet": model.unet}, LokrOptions()), seed=seed) for seed in (1, 1, 2)
    )
    for (name, one), (_, two), (_, three) in zip(
        first.weights(), same.weights(), other.weights(), strict=True
    ):
        assert torch.equal(one, two)
        assert name.endswith("lokr_w1") != torch.equal(one, three)
    assert torch.allclose(outputs(model, first), expected, atol=1e-6)
    first.remove()
    assert torch.equal(outputs(model), expected)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"factors": {"FeedForwad": 4}}, "did you mean 'FeedForward'"),
        ({"factors": {"lora_unet_middle_block_*": 4}}, "decides for no layer.*names such as middle_block"),
        ({"factors": {"text_model.*": 4}}, "decides for no layer"),
        (
            {"factors": {"FeedForward": 4, "*": 8}},
            "'FeedForward', which .* pattern that matches comes before",
        ),
        ({"factors": {"BasicTransformerBlock": 4}}, "an inner class, also one of the preset, before"),
        ({"exclude": ("lora_unet_nothing*",)}, "matches no layer"),
        ({"exclude": ("lora_unet_*", "*")}, "leaves no layer to train"),
    ],
)
def test_wrong_targets_are_named(shallow_parts, keywords, message):
    with pytest.raises(ConfigError, match=message):
        targets({"unet": shallow_parts().unet}, LokrOptions(**keywords))


def test_factors_are_the_first_pattern_s_then_the_innermost_class_s(shallow_parts):
    keys = {"middle_block.1.*.ff.*": 3, "middle_block.*": 2, "FeedForward": 4, "CLIPMLP": 5}
    factors = {t.name: t.factor for t in targets({"unet": shallow_parts().unet}, LokrOptions(factors=keys))}
    assert factors["lora_unet_middle_block_1_transformer_blocks_0_ff_net_2"] == 3
    assert factors["lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"] == 2
    assert factors["lora_unet_output_blocks_0_1_transformer_blocks_0_ff_net_2"] == 4
    assert factors["lora_unet_output_blocks_0_1_transformer_blocks_0_attn1_to_q"] == 4
    assert factors["lora_unet_output_blocks_0_1_proj_in"] == 8


def test_another_adapters_file_is_refused(shallow_parts):
    model = shallow_parts()
    adapter = Adapter(targets({"unet": model.unet}, LokrOptions()))
    other = Adapter(targets({"unet": model.unet}, LokrOptions(factors={"Attention": 2})))
    with pytest.raises(ModelError, match=r"set lokr\.factors"):
        adapter.load(dict(other.weights()), "other.safetensors")
    with pytest.raises(ModelError, match=r"without norms: set lokr\.preset and lokr\.norms"):
        adapter.load(
            dict(Adapter(targets({"unet": model.unet}, LokrOptions(norms=False))).weights()), "other"
        )
