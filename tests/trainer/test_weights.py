"""Checkpoints of others: quantised, with tensors besides, broken, in several files; every tensor is used or named."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import ModelError
from hakubooru_trainer.config.options import ModelOptions
from hakubooru_trainer.model.load import load, load_part

pytestmark = pytest.mark.slow

KEY = "model.diffusion_model.time_embed.0"
WEIGHT = f"{KEY}.weight"
OURS = "time_embedding.linear_1.weight"


@pytest.fixture(scope="module")
def state(shallow):
    return load_file(shallow / "tiny.safetensors")


@pytest.fixture
def load_with(shallow, state, tmp_path):
    """A part of the shallow model's checkpoint with some tensors changed; None takes one out."""

    def load_changed(changes, part="unet", dtype=torch.float32, metadata=None):
        tensors = {name: tensor for name, tensor in (state | changes).items() if tensor is not None}
        path = tmp_path / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
        options = ModelOptions(path=str(path), config=str(shallow), tokenizers=str(shallow))
        model = load(options, dtype, dtype) if part is None else load_part(path, part, options, dtype)
        return model if part is None else model.state_dict()

    return load_changed


def fp8(weight, scale):
    return (weight / scale).to(torch.float8_e4m3fn)


def about(**values):
    return torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)


def int8(weight, scale):
    return (weight / scale).round().to(torch.int8)


@pytest.mark.parametrize(
    "beside",
    [
        lambda w: {WEIGHT: fp8(w, s := w.abs().max() / 448), f"{KEY}.scale_weight": s,
                   "model.diffusion_model.scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn),
                   f"{KEY}.scale_input": torch.ones(1)},
        lambda w: {WEIGHT: fp8(w, s := w.abs().amax(1, keepdim=True) / 448), f"{KEY}.weight_scale": s,
                   f"{KEY}.comfy_quant": about(format="float8_e4m3fn", full_precision_matrix_mult=True)},
        lambda w: {WEIGHT: (w * 8).to(torch.float8_e5m2), f"{KEY}.weight_scale": torch.full((1, 1), 1 / 8)},
        lambda w: {WEIGHT: w.to(torch.float8_e4m3fn)},
        lambda w: {WEIGHT: int8(w, s := w.abs().max() / 127), f"{KEY}.weight_scale": s.half(),
                   f"{KEY}.comfy_quant": about(format="int8_tensorwise")},
        lambda w: {WEIGHT: int8(w, (s := w.abs().amax(1) / 127)[:, None]), f"{KEY}.weight_scale": s},
        lambda w: {WEIGHT: int8(w, (s := w.abs().amax(1))[:, None] / 127), f"{KEY}.SCB": s,
                   f"{KEY}.weight_format": torch.tensor(0, dtype=torch.uint8)},
    ],
    ids=["scaled fp8", "fp8 by rows", "e5m2", "plain fp8", "int8", "int8 by rows", "bitsandbytes"],
)  # fmt: skip
def test_a_quantised_weight_is_restored(load_with, state, beside):
    true = state[WEIGHT]
    restored = load_with(beside(true))[OURS]
    assert (restored - true).abs().max() < 0.13 * true.abs().max()  # e5m2 has two bits behind the comma
    assert torch.corrcoef(torch.stack([restored.flatten(), true.flatten()]))[0, 1] > 0.99
    assert abs(restored.std() / true.std() - 1) < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({WEIGHT: torch.ones(128, 32).to(torch.int8)}, f"{WEIGHT} is stored as torch.int8 with no scale"),
        ({f"{KEY}.weight_scale": torch.ones(128, 2)}, r"weight_scale is a scale of shape \(128, 2\)"),
        ({f"{KEY}.weight_scale": torch.ones(1, 128)}, r"neither one number nor one for each row"),
        ({f"{KEY}.weight_scale": torch.ones(1), f"{KEY}.SCB": torch.ones(1)}, "SCB is a second scale|second scale of"),
        ({f"{KEY}.comfy_quant": about(format="nvfp4")}, "comfy_quant says .* nvfp4"),
        ({f"{KEY}.comfy_quant": about(format="int8_tensorwise", convrot=True)}, "with convrot = True"),
        ({f"{KEY}.comfy_quant": torch.tensor([1], dtype=torch.uint8)}, "comfy_quant cannot be read"),
        ({f"{KEY}.weight_format": torch.tensor(1, dtype=torch.uint8)}, "weight_format says"),
        ({f"{WEIGHT}.absmax": torch.ones(4)}, "absmax belongs to weights quantised by bitsandbytes' 4 bits"),
        ({f"{WEIGHT}.quant_state.bitsandbytes__nf4": torch.ones(4)}, r"quant_state\.bitsandbytes__nf4 belongs"),
        ({f"{KEY}.qweight": torch.ones(4), WEIGHT: None}, "qweight belongs to weights quantised by svdquant"),
        ({"model.diffusion_model.nothing.scale_weight": torch.ones(1)}, "the scale of a quantised weight that is not there"),
        ({"model.diffusion_model.extra.weight": torch.ones(1)}, r"extra\.weight, which is no tensor of SDXL"),
        ({WEIGHT: None}, f"has no tensor {WEIGHT}"),
    ],
)  # fmt: skip
def test_what_cannot_be_restored_or_is_not_read_is_named(load_with, changes, message):
    with pytest.raises(ModelError, match=message):
        load_with(changes)


def test_quantised_layers_of_the_metadata_count(load_with):
    for kind in ("nvfp4", {"format": "mxfp8"}):
        with pytest.raises(
            ModelError, match=r"time_embed\.0 says that its weight is quantised as (nvfp4|mxfp8)"
        ):
            load_with({}, metadata={"_quantization_metadata": json.dumps({"layers": {KEY: kind}})})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder_2"])
def test_what_is_not_finite_is_named_with_its_tensor(load_with, state, part, value):
    prefix = {"unet": "model.", "vae": "first_stage_model.", "text_encoder_2": "conditioner.embedders.1."}[
        part
    ]
    name = next(name for name in state if name.startswith(prefix) and name.endswith("weight"))
    broken = state[name].clone()
    broken.view(-1)[-1] = value
    with pytest.raises(ModelError, match=f"{name} holds NaN or infinity; the checkpoint is broken"):
        load_with({name: broken}, part)


def test_what_half_precision_cannot_hold_is_no_broken_checkpoint(load_with, state):
    large = state[WEIGHT].clone()
    large[0, 0] = 1e6
    assert load_with({WEIGHT: large}, dtype=torch.bfloat16)[OURS][0, 0] > 9e5
    with pytest.raises(ModelError, match=r"numbers that torch\.float16 cannot hold; load the model in bf16"):
        load_with({WEIGHT: large}, dtype=torch.float16)


def test_extras_that_no_program_needs_are_passed_over(load_with, state):
    text = "conditioner.embedders."
    extras = {
        "model_ema.decay": torch.ones(()), "model_ema.diffusion_modelinput_blocks00weight": torch.ones(3),
        f"{text}0.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        f"{text}1.model.logit_scale": torch.ones(()), f"{text}0.logit_scale": torch.ones(()),
        f"{text}0.transformer.text_projection.weight": torch.ones(2, 2), "denoiser.sigmas": torch.ones(1000),
        "alphas_cumprod": torch.ones(1000), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0),
    }  # fmt: skip
    model = load_with(extras, None)
    assert model.marks == (True, True)
    assert torch.equal(model.unet.state_dict()[OURS], state[WEIGHT])


def test_a_projection_as_comfyui_writes_it_is_not_transposed(load_with, state):
    name = "conditioner.embedders.1.model.text_projection"
    ours = load_with({}, "text_encoder_2")["text_projection.weight"]
    assert torch.equal(ours, state[name].T)
    theirs = load_with({name: None, f"{name}.weight": state[name].T}, "text_encoder_2")
    assert torch.equal(theirs["text_projection.weight"], ours)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edm_vpred.sigma_max", "EDM's noise schedule"),
        ("cond_stage_model.transformer.x", "no tensor of SDXL"),
        ("lora_unet_x.alpha", "no tensor of SDXL"),
    ],
)
def test_a_tensor_of_no_part_is_named(load_with, name, message):
    with pytest.raises(ModelError, match=f"{name}, .*{message}"):
        load_with({name: torch.ones(1)}, None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.gguf", b"GGUF0000", "is a GGUF file"),
        ("m.safetensors", b"GGUF0000", "is a GGUF file"),
        ("m.safetensors", b"", "cannot be read as safetensors"),
        ("m.safetensors", b"\xff" * 16, "cannot be read as safetensors"),
        ("m.safetensors", b"\x02" + b"\0" * 7 + b"{}" + b"more", "has 14 bytes, but its header says 10"),
        ("m.ckpt", b"PK", "may run code"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, shallow, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(ModelOptions(path=str(tmp_path / name), config=str(shallow)), torch.float32)


@pytest.fixture
def folder(shallow, tmp_path):
    """A copy of the shallow model's folder."""
    return shutil.copytree(shallow, tmp_path / "folder", ignore=shutil.ignore_patterns("tiny.safetensors"))


def test_a_folder_in_shards_or_half_precision_loads_alike(folder, shallow):
    true = load(ModelOptions(path=str(shallow)), torch.float32)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    text = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    for number, rest in ((1, 0), (2, 1)):
        shard = file.with_name(f"diffusion_pytorch_model-0000{number}-of-00002.safetensors")
        save_file({name: t for place, (name, t) in enumerate(tensors.items()) if place % 2 == rest}, shard)
    file.unlink()
    half = {
        name if "text_model" in name else f"text_model.{name}": t.half()
        for name, t in load_file(text).items()
    }
    save_file(
        half | {"text_model.embeddings.position_ids": torch.arange(77)},
        text.with_name("model.fp16.safetensors"),
    )
    text.unlink()
    model = load(ModelOptions(path=str(folder)), torch.float32)
    unet, encoder = model.unet.state_dict(), model.text_encoder.state_dict()
    for name, tensor in true.unet.state_dict().items():
        assert torch.equal(unet[name], tensor), name
    for name, tensor in true.text_encoder.state_dict().items():
        assert torch.equal(encoder[name], tensor.half().float()), name
    file.with_name("diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="1 of the 2 files of the unet"):
        load(ModelOptions(path=str(folder)), torch.float32)


def test_a_folder_of_pickles_alone_is_told_the_truth(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(
        ModelError, match=r"only as diffusion_pytorch_model\.bin, a pickle.*save_pretrained"
    ) as caught:
        load(ModelOptions(path=str(folder)), torch.float32)
    assert "fp16" not in str(caught.value)


def test_a_folder_with_a_tensor_besides_or_quantised_weights(folder, shallow):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    true, scale = tensors[OURS], tensors[OURS].abs().amax(1)
    beside = {OURS: int8(true, scale[:, None] / 127), OURS.replace("weight", "SCB"): scale}
    save_file(tensors | beside, file)
    config = folder / "unet" / "config.json"
    table = json.loads(config.read_text()) | {
        "quantization_config": {"load_in_8bit": True, "quant_method": "bitsandbytes"}
    }
    config.write_text(json.dumps(table))
    restored = load(ModelOptions(path=str(folder)), torch.float32).unet.state_dict()[OURS]
    assert (restored - true).abs().max() <= scale.max() / 127
    save_file(tensors | {"mid_block.extra": torch.ones(1)}, file)
    with pytest.raises(ModelError, match=r"mid_block\.extra, which is no tensor of SDXL"):
        load(ModelOptions(path=str(folder)), torch.float32)


@pytest.mark.parametrize("kind", ["checkpoint", "bare", "diffusers", "old diffusers"])
def test_a_vae_by_itself_loads(shallow, state, tmp_path, kind):
    """sdxl_vae.safetensors and the VAE fixed for fp16 are published so, in either layout."""
    true = load_file(shallow / "vae" / "diffusion_pytorch_model.safetensors")
    path, prefix = tmp_path / "vae.safetensors", "first_stage_model."
    tensors = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if kind == "bare":
        tensors = {name.removeprefix(prefix): t for name, t in tensors.items()} | {
            "loss.logvar": torch.ones(1)
        }
    elif "diffusers" in kind:
        tensors = dict(true)
    if kind == "old diffusers":
        names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for new, old in names.items():
            tensors = {
                name.replace(f"attentions.0.{new}.", f"attentions.0.{old}."): t for name, t in tensors.items()
            }
        assert "encoder.mid_block.attentions.0.query.weight" in tensors
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, path)
    vae = load(ModelOptions(path=str(shallow), vae=str(path)), torch.float32).vae.state_dict()
    for name, tensor in true.items():
        assert torch.equal(vae[name], tensor * 2), name
    save_file(tensors | {f"{prefix if kind == 'checkpoint' else ''}more": torch.ones(1)}, path)
    with pytest.raises(ModelError, match="more, which is no tensor of SDXL"):
        load(ModelOptions(path=str(shallow), vae=str(path)), torch.float32)
