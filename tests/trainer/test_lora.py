"""A LoKr as a plain LoRA: as near as any of its rank, and what diffusers and PEFT make of it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from hakubooru.errors import InputError, ModelError
from hakubooru_trainer.config.options import LokrOptions, ModelOptions
from hakubooru_trainer.convert import convert
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.lora import nearest_lora
from hakubooru_trainer.lokr.preset import targets
from tiny_outputs import TRAINED, outputs

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shape", [(12, 10), (6, 5, 3, 3)])
def test_it_is_the_best_of_its_rank(shape):
    """The singular values of the whole change, which torch computes, say how near a rank can come."""
    layer = {"lokr_w1": torch.randn(4, 3), "lokr_w2": torch.randn(*shape)}
    w1 = layer["lokr_w1"].reshape(4, 3, *[1] * (len(shape) - 2))
    change = torch.kron(w1, layer["lokr_w2"])
    values = torch.linalg.svdvals(change.flatten(1))
    for rank in (1, 7, 1000):
        near = nearest_lora(layer, rank)
        product = (near.lora.up.flatten(1) @ near.lora.down.flatten(1)).reshape(change.shape)
        missing = float(((change - product) ** 2).sum())
        assert missing == pytest.approx(near.lost, abs=1e-3)
        assert missing == pytest.approx(float((values[rank:] ** 2).sum()), abs=1e-3)
        assert near.whole == pytest.approx(float((change**2).sum()))
    assert near.lora.rank == 3 * shape[0] if len(shape) == 4 else 30


@pytest.fixture
def model(shallow):
    return ModelOptions(path=str(shallow))


@pytest.fixture
def pipeline(shallow):
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(shallow, local_files_only=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_diffusers_loads_it(pipeline, shallow_parts, trained_lokr, lokr_outputs, model, tmp_path):  # noqa: PLR0917 - fixtures
    """At full rank the pictures' predictions are those of the LoKr."""
    report = convert(trained_lokr, tmp_path / "lora.safetensors", model, to="diffusers", rank=9999)
    assert report.error < 1e-6
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    ours = shallow_parts()
    plain = outputs(ours)
    for part in TRAINED:
        setattr(ours, part, getattr(pipeline, part))
    theirs = outputs(ours)
    assert torch.allclose(theirs, lokr_outputs, atol=2e-4)
    assert not torch.allclose(theirs, plain, atol=1e-2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_peft_loads_it(shallow_parts, trained_lokr, lokr_outputs, model, tmp_path):
    from peft import PeftModel

    convert(trained_lokr, tmp_path / "peft", model, to="peft", rank=9999)
    ours = shallow_parts()
    for part in TRAINED:
        wrapped = PeftModel.from_pretrained(getattr(ours, part), str(tmp_path / "peft" / part))
        setattr(ours, part, wrapped.merge_and_unload())
    assert torch.allclose(outputs(ours), lokr_outputs, atol=2e-4)


def test_names_change_and_change_back_exactly(trained_lokr, model, tmp_path):
    first = tmp_path / "0.safetensors"
    report = convert(trained_lokr, first, model, to="lora", rank=4, dtype=torch.float16)
    assert 0.1 < report.error < report.worst[1] < 1
    assert "of the change is lost" in str(report)
    tensors = load_file(first)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    place = first
    for to in ("diffusers", "peft", "diffusers", "lora"):
        target = tmp_path / f"{place.stem}{to[0]}{'' if to == 'peft' else '.safetensors'}"
        assert str(convert(place, target, model, to=to)).endswith("only names changed")
        place = target
    back = load_file(place)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_what_cannot_be_converted_is_refused(short_lokr, model, tmp_path):
    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match="is a LoKr; give the rank of the LoRA, such as --rank 64"):
        convert(short_lokr, out, model, to="lora")
    convert(short_lokr, out, model, to="lora", rank=2)
    with pytest.raises(InputError, match="is a LoRA of its own rank; leave --rank out"):
        convert(out, tmp_path / "x", model, to="diffusers", rank=2)
    tensors = load_file(out)
    name = next(name for name in tensors if name.endswith("lora_up.weight"))
    save_file({key: value for key, value in tensors.items() if key != name}, out)
    with pytest.raises(ModelError, match=r"has no lora_up\.weight; the file is incomplete"):
        convert(out, tmp_path / "x", model, to="diffusers")
    save_file({f"x{key}": value for key, value in tensors.items()}, out)
    with pytest.raises(ModelError, match="names its layers in a way of another program"):
        convert(out, tmp_path / "x", model, to="diffusers")
    with pytest.raises(ModelError, match="has no unet/adapter_model"):
        convert(tmp_path, tmp_path / "x", model, to="lora")


def test_norms_are_counted(shallow_parts, model, tmp_path):
    adapter = Adapter(targets({"unet": shallow_parts().unet}, LokrOptions()))
    file.write(tmp_path / "n.safetensors", adapter, torch.float32, {})
    report = convert(tmp_path / "n.safetensors", tmp_path / "o.safetensors", model, to="lora", rank=2)
    norms = sum(not target.factor for target in adapter.targets)
    assert report.norms == norms > 0
    assert f"{norms} norms are left out" in str(report)


def test_an_adapter_of_another_size_is_refused_with_the_mend(trained_lokr, model, tmp_path):
    """A LoRA, too: its names alone are those of many models, as of SD 1.5's UNet."""
    mend = "name a diffusers folder of its own model with --config"
    lora, out = tmp_path / "lora.safetensors", tmp_path / "out.safetensors"
    convert(trained_lokr, lora, model, to="lora", rank=2)
    sdxl = ModelOptions(path="sdxl.safetensors")
    for source, to, rank in (
        (trained_lokr, "lora", 2),
        (trained_lokr, "peft", None),
        (lora, "diffusers", None),
    ):
        with pytest.raises(ModelError, match=rf"another size: here it must have SDXL's size; {mend}"):
            convert(source, out, sdxl, to=to, rank=rank)
    layer = "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k"
    save_file(
        {f"{layer}.lora_down.weight": torch.ones(4, 768), f"{layer}.lora_up.weight": torch.ones(1280, 4)},
        tmp_path / "sd15.safetensors",
    )
    with pytest.raises(
        ModelError, match=r"of shape \(1280, 768\), but the model's weight is of shape \(1280, 2048\)"
    ):
        convert(tmp_path / "sd15.safetensors", out, sdxl, to="diffusers")
    save_file(
        {"lora_unet_input_blocks_1_1_proj_in.lora_down.weight": torch.ones(4, 320),
         "lora_unet_input_blocks_1_1_proj_in.lora_up.weight": torch.ones(320, 4)},
        tmp_path / "sd15.safetensors",
    )  # fmt: skip
    with pytest.raises(ModelError, match=rf"the model does not have; .* must have the size in .*; {mend}"):
        convert(tmp_path / "sd15.safetensors", out, ModelOptions(path="x", config=model.path), to="diffusers")
    assert not out.exists()
