"""Adapters of others: what counts in them, what does not fit, and what is no LoKr of full matrices."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import ModelError
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import adapter_of
from hakubooru_trainer.merge import combine, merge
from tiny_outputs import outputs

pytestmark = pytest.mark.slow

LINEAR = "lora_unet_middle_block_1_proj_in"  # 96 by 96
CONVOLUTION = "lora_unet_input_blocks_1_0_in_layers_2"  # 32 by 32, 3 by 3
THIRD = "lora_te2_text_model_encoder_layers_0_self_attn_k_proj"  # 64 by 64, a third of in_proj
KEYS = {
    LINEAR: "model.diffusion_model.middle_block.1.proj_in.weight",
    CONVOLUTION: "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
    THIRD: "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight",
}
SHAPES = {LINEAR: ((4, 4), (24, 24)), CONVOLUTION: ((4, 4), (8, 8, 3, 3)), THIRD: ((4, 4), (16, 16))}


def lokr(name, seed=0):
    draw = torch.Generator().manual_seed(seed)
    w1, w2 = (torch.randn(shape, generator=draw) * 0.1 for shape in SHAPES[name])
    return {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(float("inf"))}  # as 1e5 is saved in fp16


def under_name(name, tensors):
    return {f"{name}.{own}": tensor for own, tensor in tensors.items()}


@pytest.fixture
def base(shallow):
    return shallow / "tiny.safetensors"


@pytest.fixture(scope="module")
def model(shallow_parts):
    """The parts of that model; not to be changed."""
    return shallow_parts()


@pytest.fixture
def merged(base, tmp_path):
    """The checkpoint that the base and an adapter make, with how many layers were changed."""

    def merge_tensors(tensors, **options):
        save_file(tensors, tmp_path / "adapter.safetensors")
        count = merge(base, tmp_path / "adapter.safetensors", tmp_path / "out.safetensors", **options)
        return load_file(tmp_path / "out.safetensors"), count

    return merge_tensors


def of_lycoris(weight, tensors, on_output):
    """What LyCORIS's own module makes of a weight."""
    from lycoris.modules.lokr import LokrModule

    outs, ins, *kernel = weight.shape
    layer = (
        torch.nn.Conv2d(ins, outs, kernel, bias=False) if kernel else torch.nn.Linear(ins, outs, bias=False)
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        module = LokrModule(
            "x",
            layer,
            lora_dim=1,
            alpha=1,
            factor=4,
            full_matrix=True,
            weight_decompose=True,
            wd_on_out=on_output,
        )
        for own in ("lokr_w1", "lokr_w2", "dora_scale"):
            getattr(module, own).copy_(tensors[own])
        return module.get_merged_weight(1, weight.shape)[0]


@pytest.mark.parametrize("on_output", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_weight_decomposition_is_lycoris(base, merged, name, on_output):
    weight = load_file(base)[KEYS[name]]
    weight = weight.chunk(3)[1] if name == THIRD else weight
    axis = [dim for dim in range(weight.dim()) if dim != (not on_output)]
    norm = torch.linalg.vector_norm(weight, dim=axis, keepdim=True)
    tensors = lokr(name) | {"dora_scale": norm * torch.linspace(0.5, 2, norm.numel()).reshape(norm.shape)}
    expected = of_lycoris(weight, tensors, on_output)
    result, count = merged(under_name(name, tensors))
    result = result[KEYS[name]].chunk(3)[1] if name == THIRD else result[KEYS[name]]
    assert count == 1
    assert torch.allclose(result, expected, atol=1e-6)
    assert (result - weight).abs().max() > 0.01
    half = merged(under_name(name, tensors), scale=0.5)[0][KEYS[name]]
    half = half.chunk(3)[1] if name == THIRD else half
    assert torch.allclose(half, (weight + expected) / 2, atol=1e-6)  # ComfyUI and the sd-webui: on the line


def test_scalar_counts_in_all_that_reads_adapters(base, merged, shallow_parts, tmp_path):
    tensors = lokr(LINEAR)
    plain = merged(under_name(LINEAR, tensors))[0][KEYS[LINEAR]]
    scaled = merged(under_name(LINEAR, tensors | {"scalar": torch.tensor(0.25)}))[0][KEYS[LINEAR]]
    weight = load_file(base)[KEYS[LINEAR]]
    assert torch.allclose(scaled - weight, (plain - weight) / 4, atol=1e-7)
    path = tmp_path / "adapter.safetensors"
    model = shallow_parts()
    with_scalar = outputs(model, adapter_of(file.read(path), vars(model), str(path)))
    quarter = tensors | {"lokr_w1": tensors["lokr_w1"] / 4}
    model = shallow_parts()
    by_hand = outputs(model, adapter_of(under_name(LINEAR, quarter), vars(model), "x"))
    assert torch.equal(with_scalar, by_hand)


def test_a_norm_by_half_and_a_norm_of_an_encoder_are_used_whole(base, merged, shallow_parts):
    norm, encoder = "lora_unet_middle_block_1_norm", "lora_te1_text_model_encoder_layers_0_layer_norm1"
    other = "lora_te2_text_model_encoder_layers_0_layer_norm2"
    w, b = torch.full((96,), 0.5), torch.full((32,), 0.25)
    tensors = {f"{norm}.w_norm": w, f"{encoder}.b_norm": b, f"{other}.b_norm": torch.ones(64)}
    result, count = merged(tensors)
    plain = load_file(base)
    assert count == 3
    keys = {key for key in plain if not torch.equal(plain[key], result[key])}
    assert keys == {
        "model.diffusion_model.middle_block.1.norm.weight",
        "conditioner.embedders.0.transformer.text_model.encoder.layers.0.layer_norm1.bias",
        "conditioner.embedders.1.model.transformer.resblocks.0.ln_2.bias",
    }
    model = shallow_parts()
    with_adapter = outputs(model, adapter_of({f"{norm}.w_norm": w}, vars(model), "x"))
    model = shallow_parts()
    with torch.no_grad():
        model.unet.mid_block.attentions[0].norm.weight += w
    assert torch.allclose(with_adapter, outputs(model), atol=1e-5)


UP, DOWN = torch.ones(96, 4), torch.ones(4, 96)
WRONG = {
    "plain LoRA": ({f"{LINEAR}.lora_up.weight": UP, f"{LINEAR}.lora_down.weight": DOWN}, "belongs to a plain LoRA"),
    "PEFT": ({"unet.mid_block.attentions.0.proj_in.lora_A.weight": DOWN}, "belongs to a plain LoRA"),
    "LoHa": ({f"{LINEAR}.hada_w1_a": UP}, "hada_w1_a belongs to a LoHa"),
    "low rank": ({f"{LINEAR}.lokr_w1": UP, f"{LINEAR}.lokr_w2_a": DOWN}, "lokr_w2_a belongs to a LoKr of low rank"),
    "difference": ({f"{LINEAR}.diff": UP}, "diff belongs to a difference of whole weights"),
    "diffusers": (under_name("lora_unet_mid_block_attentions_0_proj_in", lokr(LINEAR)), "names its layers as diffusers"),
    "LyCORIS": (under_name("lycoris_middle_block_1_proj_in", lokr(LINEAR)), "names its layers as LyCORIS"),
    "SD 1": (under_name("lora_te_text_model_encoder_layers_0_mlp_fc1", lokr(LINEAR)), "for SD 1 or 2"),
    "Flux": (under_name("lora_unet_double_blocks_0_img_attn_qkv", lokr(LINEAR)), "for Flux, SD 3"),
    "checkpoint": ({"model.diffusion_model.out.0.weight": UP}, "as in a whole checkpoint"),
    "empty": ({}, "holds no layer"),
    "alpha alone": ({f"{LINEAR}.alpha": torch.ones(())}, "has alpha and no lokr_w1; it changes nothing"),
    "scalar alone": ({f"{LINEAR}.scalar": torch.ones(())}, "has scalar and no lokr_w1"),
    "no w2": ({f"{LINEAR}.lokr_w1": UP}, "has lokr_w1 and no lokr_w2"),
    "unknown tensor": ({f"{LINEAR}.magic": UP}, "magic is not a tensor of a LoKr"),
    "unknown layer": (under_name("lora_unet_middle_block_9_proj_in", lokr(LINEAR)), "made for another model"),
    "width": (under_name(LINEAR, lokr(THIRD)), r"of shape \(64, 64\).*of shape \(96, 96\); it was made for a model of another size"),
    "kernel": (under_name(LINEAR, lokr(CONVOLUTION)), r"of shape \(32, 32, 3, 3\)"),
    "w1 of 3": (under_name(LINEAR, lokr(LINEAR) | {"lokr_w1": torch.ones(4, 4, 1)}), "w1 must be a matrix"),
    "norm's width": ({"lora_unet_middle_block_1_norm.w_norm": torch.ones(64)}, r"w_norm is of shape \(64,\)"),
    "norm of a matrix": ({f"{LINEAR}.w_norm": torch.ones(96)}, r"of shape \(96,\), but the model's weight is of shape \(96, 96\)"),
    "bias that is none": ({f"{'lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q'}.b_norm": torch.ones(96)}, "but the model's layer has none"),
    "norm and LoKr": (under_name(LINEAR, lokr(LINEAR) | {"w_norm": torch.ones(96)}), "is a norm, but also has"),
    "dora_scale": (under_name(LINEAR, lokr(LINEAR) | {"dora_scale": torch.ones(5)}), r"dora_scale is of shape \(5,\)"),
    "scalars": (under_name(LINEAR, lokr(LINEAR) | {"scalar": torch.ones(2)}), r"scalar is of shape \(2,\); it must be one number"),
    "NaN": (under_name(LINEAR, lokr(LINEAR) | {"lokr_w2": torch.full((24, 24), torch.nan)}), "lokr_w2 holds NaN or infinity"),
    "int8": (under_name(LINEAR, lokr(LINEAR) | {"lokr_w2": torch.ones(24, 24).to(torch.int8)}), r"stored as torch\.int8"),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_named_by_merge_and_by_sample(tensors, message, merged, model, tmp_path):
    with pytest.raises(ModelError, match=message) as caught:
        merged(tensors)
    assert str(caught.value).startswith(str(tmp_path / "adapter.safetensors"))
    assert not (tmp_path / "out.safetensors").exists()
    path = tmp_path / "adapter.safetensors"
    with pytest.raises(ModelError, match=message):
        adapter_of(file.read(path), vars(model), str(path))


def test_what_merge_alone_can_do_is_told_by_the_others(model):
    tensors = under_name(LINEAR, lokr(LINEAR) | {"dora_scale": torch.ones(96, 1)})
    with pytest.raises(ModelError, match=f"{LINEAR}.dora_scale decomposes the weight; merge the adapter"):
        adapter_of(tensors, vars(model), "x")
    adapter = adapter_of(under_name(LINEAR, lokr(LINEAR)), vars(model), "x")
    with pytest.raises(
        ModelError, match=f"{LINEAR}.dora_scale decomposes the weight, which is not trained here"
    ):
        adapter.load(tensors, "x")


def test_a_base_that_cannot_be_computed_with_is_named(base, tmp_path):
    state = load_file(base)
    save_file(under_name(LINEAR, lokr(LINEAR)), tmp_path / "adapter.safetensors")
    for more, message in (
        ({KEYS[LINEAR]: state[KEYS[LINEAR]].to(torch.float8_e4m3fn)}, "as F8_E4M3, which cannot be computed with"),
        ({KEYS[LINEAR].replace("weight", "scale_weight"): torch.ones(())}, "scale_weight for quantised weights"),
        ({f"{KEYS[LINEAR]}.absmax": torch.ones(1)}, "absmax belongs to weights quantised by bitsandbytes"),
        ({KEYS[LINEAR]: torch.full((96, 96), torch.nan)}, f"wrong.safetensors: {KEYS[LINEAR]} holds NaN or infinity"),
    ):  # fmt: skip
        path = tmp_path / "wrong.safetensors"
        save_file(state | more, path)
        with pytest.raises(ModelError, match=message):
            merge(path, tmp_path / "adapter.safetensors", tmp_path / "out.safetensors")
        with pytest.raises(ModelError, match=message):
            combine("a + b", {"a": base, "b": path}, tmp_path / "out.safetensors")


def test_a_copy_of_the_unet_is_not_computed_with(base, tmp_path):
    save_file(load_file(base) | {"model_ema.decay": torch.ones(2)}, tmp_path / "ema.safetensors")
    combine("0.5*a + 0.5*b", {"a": tmp_path / "ema.safetensors", "b": base}, tmp_path / "out.safetensors")
    assert load_file(tmp_path / "out.safetensors")["model_ema.decay"].tolist() == [1, 1]
