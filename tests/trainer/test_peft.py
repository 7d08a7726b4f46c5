"""Adapters in PEFT's folders: a LoKr there and back, and what PEFT and diffusers themselves write."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import InputError, ModelError
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.convert import convert
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import Adapter, adapter_of
from hakubooru_trainer.lokr.layers import by_layer
from hakubooru_trainer.lokr.peft import first_side, lokr_folders
from hakubooru_trainer.lokr.preset import layer_names, layers, targets
from hakubooru_trainer.model.load import skeleton
from tiny_outputs import TRAINED, outputs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


@pytest.fixture
def model(shallow):
    return ModelOptions(path=str(shallow))


def wrapped(module, folder):
    """A part of the model with all adapters of a folder, as PEFT loads them."""
    from peft import PeftModel

    folders = sorted(path.parent for path in folder.rglob("adapter_config.json"))
    first, *others = (path.name for path in folders)
    adapted = PeftModel.from_pretrained(module, str(folders[0]), adapter_name=first)
    for path in folders[1:]:
        adapted.load_adapter(str(path), adapter_name=path.name)
    adapted.base_model.set_adapter([first, *others])
    return adapted


def test_the_sides_of_w1_are_pefts():
    from peft.tuners.lokr.layer import factorization

    for size in (1, 2, 3, 4, 6, 12, 36, 44, 64, 127, 320, 768, 1280, 2816):
        for factor in (-1, 1, 2, 3, 4, 5, 8, 16, 60):
            assert first_side(size, factor) == factorization(size, factor)[0], (size, factor)


def test_all_layers_of_sdxl_have_a_factor_in_peft():
    models = {part: skeleton(part, ModelOptions(path="sdxl.safetensors")) for part in TRAINED}
    adapter = Adapter(targets(models, LokrOptions(norms=False)))
    changes = by_layer(dict(adapter.weights()), "SDXL")
    folders = {
        place: (config, tensors)
        for place, config, tensors in lokr_folders(changes, layers(models), layer_names(models))
    }
    assert sorted(folders) == ["text_encoder", "text_encoder_2", *(f"unet/factor_{n}" for n in (2, 4, 8))]
    assert sum(len(config["target_modules"]) for config, _ in folders.values()) == len(adapter.targets)
    assert sum(tensor.numel() for _, tensors in folders.values() for tensor in tensors.values()) == sum(
        tensor.numel() for _, tensor in adapter.weights()
    )


def test_peft_computes_what_we_and_lycoris_do(shallow_parts, trained_lokr, lokr_outputs, model, tmp_path):
    out = tmp_path / "peft"
    assert str(convert(trained_lokr, out, model, to="peft")).endswith("of LoKr, only names changed")
    assert len([*(out / "unet").iterdir()]) > 1  # it has several factors
    ours, tensors = shallow_parts(), load_file(trained_lokr)
    changes = {
        w1.double().sum().item(): torch.kron(w1.reshape(*w1.shape, *[1] * (w2.dim() - 2)), w2)
        for w1, w2 in (
            (tensors[name], tensors[name[:-1] + "2"]) for name in tensors if name.endswith("lokr_w1")
        )
    }
    count = 0
    for part in TRAINED:
        setattr(ours, part, wrapped(getattr(ours, part), out / part))
        for layer in getattr(ours, part).modules():
            for name, w1 in getattr(layer, "lokr_w1", {}).items():
                change = changes[w1.detach().double().sum().item()]
                assert torch.equal(layer.get_delta_weight(name).flatten(), change.flatten())
                count += 1
    assert count == len(changes)
    theirs = outputs(ours)
    assert torch.allclose(theirs, lokr_outputs, atol=2e-5)
    assert not torch.allclose(theirs, outputs(shallow_parts()), atol=1e-2)
    lycoris = shallow_parts()
    adapter_of(file.read(trained_lokr), vars(lycoris), "lokr").apply("lycoris")
    assert torch.allclose(theirs, outputs(lycoris), atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_lokr_comes_back_from_peft_bit_for_bit(trained_lokr, model, tmp_path, dtype):
    first, back = tmp_path / "first.safetensors", tmp_path / "back.safetensors"
    convert(trained_lokr, first, model, to="lokr", dtype=dtype)
    convert(first, tmp_path / "peft", model, to="peft")
    convert(tmp_path / "peft", back, model, to="lokr")
    expected, actual = load_file(first), load_file(back)
    assert expected.keys() == actual.keys() == load_file(trained_lokr).keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert {tensor.dtype for tensor in actual.values()} == {dtype}


def test_diffusers_loads_one_factor_of_the_unet(shallow_parts, model, tmp_path):
    """`load_lora_adapter` of diffusers reads PEFT's own file."""
    parts = shallow_parts()
    adapter = Adapter(
        targets(
            {"unet": parts.unet}, LokrOptions(preset="attention", factors={"Attention": 4, "FeedForward": 4})
        )
    )
    for name, tensor in adapter.weights():
        torch.nn.init.normal_(tensor, std=0.02) if name.endswith("w2") else None
    file.write(tmp_path / "a.safetensors", adapter, torch.float32, {})
    convert(tmp_path / "a.safetensors", tmp_path / "peft", model, to="peft")
    theirs = shallow_parts()
    theirs.unet.load_lora_adapter(
        str(tmp_path / "peft" / "unet"), weight_name="adapter_model.safetensors", prefix="base_model.model"
    )
    assert torch.allclose(outputs(theirs), outputs(parts, adapter), atol=2e-5)


def trained_by_peft(module, config, folder):
    """A part of the model with a random adapter that PEFT made, which is also saved."""
    from peft import get_peft_model

    torch.manual_seed(5)
    adapted = get_peft_model(module, config)
    for name, tensor in adapted.named_parameters():
        if "lora_" in name or "lokr_" in name:
            torch.nn.init.normal_(tensor, std=0.05)
    adapted.save_pretrained(folder)
    return adapted


def test_a_lokr_that_peft_trained_becomes_ours(shallow_parts, model, tmp_path):
    from peft import LoKrConfig

    config = {
        "r": 64,
        "alpha": 16,
        "decompose_factor": 4,
        "target_modules": ["to_q", "conv1", "conv_shortcut"],
    }
    theirs = shallow_parts()
    theirs.unet = trained_by_peft(
        theirs.unet, LoKrConfig(**config, alpha_pattern={"to_q": 48}), tmp_path / "a" / "unet"
    )
    out = tmp_path / "ours.safetensors"
    convert(tmp_path / "a", out, model, to="lokr")
    ours = shallow_parts()
    assert torch.allclose(
        outputs(ours, adapter_of(file.read(out), vars(ours), "ours")), outputs(theirs), atol=2e-5
    )
    low = shallow_parts()
    trained_by_peft(low.unet, LoKrConfig(**config | {"r": 1}), tmp_path / "low" / "unet")
    with pytest.raises(ModelError, match="belongs to a LoKr of low rank"):
        convert(tmp_path / "low", tmp_path / "x", model, to="lokr")


@pytest.mark.parametrize("to", ["lora", "diffusers", "peft"])
def test_a_lora_that_peft_trained_keeps_its_scale(shallow_parts, model, tmp_path, to):
    from diffusers import StableDiffusionXLPipeline
    from peft import LoraConfig

    config = LoraConfig(
        r=4, lora_alpha=6, rank_pattern={"to_k": 3}, alpha_pattern={"to_v": 1}, use_rslora=True,
        target_modules=["to_q", "to_k", "to_v", "conv1"],
    )  # fmt: skip
    theirs = shallow_parts()
    theirs.unet = trained_by_peft(theirs.unet, config, tmp_path / "a" / "unet")
    out = tmp_path / ("out" if to == "peft" else "out.safetensors")
    report = convert(tmp_path / "a", out, model, to=to)
    assert (report.rescaled > 0) == (to == "diffusers")
    if to == "lora":
        alphas = {float(tensor) for name, tensor in load_file(out).items() if name.endswith("alpha")}
        assert sorted(alphas) == pytest.approx([2, 3 * 6 / 3**0.5, 12])  # rank * alpha / √rank
        return
    ours = shallow_parts()
    if to == "peft":
        ours.unet = wrapped(ours.unet, out / "unet")
    else:
        pipeline = StableDiffusionXLPipeline.from_pretrained(model.path, local_files_only=True)
        pipeline.load_lora_weights(tmp_path, weight_name=out.name)
        ours.unet = pipeline.unet
    assert torch.allclose(outputs(ours), outputs(theirs), atol=2e-5)
    if to == "peft":
        expected, actual = (
            load_file(folder / "unet" / "adapter_model.safetensors") for folder in (tmp_path / "a", out)
        )
        assert expected.keys() == actual.keys()
        assert all(torch.equal(expected[name], actual[name]) for name in expected)


@pytest.mark.parametrize("are_renamed", [False, True])
def test_a_file_of_diffusers_is_read_with_its_scale(shallow_parts, model, tmp_path, are_renamed):
    """By PEFT's names, and by those that diffusers' training scripts give attention layers, beside PEFT's for others."""
    from diffusers import StableDiffusionXLPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    theirs, tensors, configs = shallow_parts(), {}, {}
    for part, modules in (("unet", ["to_q", "to_out.0", "conv1"]), ("text_encoder", ["q_proj", "fc1"])):
        config = LoraConfig(r=4, lora_alpha=12, target_modules=modules)
        adapted = trained_by_peft(getattr(theirs, part), config, tmp_path / "a" / part)
        setattr(theirs, part, adapted)
        state = {
            name.removeprefix("base_model.model."): tensor
            for name, tensor in get_peft_model_state_dict(adapted).items()
        }
        tensors[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(state) if are_renamed else state
        configs[f"{part}_lora_adapter_metadata"] = adapted.peft_config["default"].to_dict()
    StableDiffusionXLPipeline.save_lora_weights(tmp_path / "d", **tensors, **configs)
    (path,) = (tmp_path / "d").iterdir()
    assert any(".lora.down." in name for name in load_file(path)) == are_renamed
    for source, name in ((path, "b.safetensors"), (tmp_path / "a", "c.safetensors")):
        convert(source, tmp_path / name, model, to="lora")
    ours, expected = load_file(tmp_path / "b.safetensors"), load_file(tmp_path / "c.safetensors")
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert {float(tensor) for name, tensor in ours.items() if name.endswith("alpha")} == {12.0}


def test_what_peft_cannot_express_is_refused_or_counted(shallow_parts, model, tmp_path):
    parts = shallow_parts()

    def write(**options):
        adapter = Adapter(targets({"unet": parts.unet}, LokrOptions(**options)))
        file.write(tmp_path / "a.safetensors", adapter, torch.float32, {})
        return adapter

    adapter = write()
    norms = sum(not target.factor for target in adapter.targets)
    report = convert(tmp_path / "a.safetensors", tmp_path / "peft", model, to="peft")
    assert str(report).endswith(f"{norms} norms are left out, which PEFT cannot change")
    write(
        factors={"input_blocks.0.0": 4}, norms=False
    )  # LyCORIS divides 4 inputs into 1 and 4, PEFT into 4 and 1
    with pytest.raises(
        ModelError, match=r"input_blocks_0_0 has a w1 of shape \(4, 1\), and no factor of PEFT's"
    ):
        convert(tmp_path / "a.safetensors", tmp_path / "none", model, to="peft")
    assert not (tmp_path / "none").exists()
    tensors = load_file(tmp_path / "a.safetensors")
    save_file(
        {"lora_unet_out_0.w_norm": torch.zeros_like(parts.unet.conv_norm_out.weight)},
        tmp_path / "n.safetensors",
    )
    with pytest.raises(ModelError, match="changes norms alone"):
        convert(tmp_path / "n.safetensors", tmp_path / "none", model, to="peft")
    name = next(name for name in tensors if name.endswith("w1"))
    save_file(tensors | {name.replace("lokr_w1", "dora_scale"): torch.ones(1)}, tmp_path / "d.safetensors")
    with pytest.raises(ModelError, match=r"dora_scale"):
        convert(tmp_path / "d.safetensors", tmp_path / "none", model, to="peft")
    with pytest.raises(InputError, match="--to lokr keeps it; leave --rank out"):
        convert(tmp_path / "a.safetensors", tmp_path / "none", model, to="lokr", rank=4)


def test_damaged_folders_are_refused(short_lokr, model, tmp_path):
    convert(short_lokr, tmp_path / "lora", model, to="peft", rank=2)
    config = tmp_path / "lora" / "unet" / "adapter_config.json"
    good = json.loads(config.read_text())
    for text, message in (
        ("{", "is not JSON"),
        ("[]", "is not a table"),
        (json.dumps(good | {"r": 0}), "does not say the rank and alpha"),
        (
            json.dumps({key: value for key, value in good.items() if key != "lora_alpha"}),
            "does not say the rank",
        ),
        (json.dumps(good | {"alpha_pattern": {"(": 1}}), "does not say the rank and alpha"),
        (json.dumps(good | {"lora_alpha": float("nan")}), "does not say the rank and alpha"),
    ):
        config.write_text(text)
        with pytest.raises(ModelError, match=message):
            convert(tmp_path / "lora", tmp_path / "x", model, to="lora")
    config.unlink()
    with pytest.raises(ModelError, match=r"cannot be read .*; PEFT writes it beside"):
        convert(tmp_path / "lora", tmp_path / "x", model, to="lora")
