"""The tiny model, and single files: every tensor back, bit for bit, offline."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import sgm
from hakubooru.errors import ConfigError, DestinationError, ModelError
from hakubooru_trainer.config.options import DataOptions, ModelOptions, Options, RunOptions
from hakubooru_trainer.loss import Objective
from hakubooru_trainer.model.load import load, read_marks, skeleton
from hakubooru_trainer.model.names import PARTS
from hakubooru_trainer.model.single_file import write_single
from hakubooru_trainer.model.tiny import write_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Whatever asks the network for something fails."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("asked the network"))


def test_a_single_file_is_the_folder_bit_for_bit(tiny):
    folder = load(ModelOptions(path=str(tiny)), torch.float32)
    single = load(ModelOptions(path=str(tiny / "tiny.safetensors"), config=str(tiny)), torch.float32)
    for part in PARTS:
        expected, actual = vars(folder)[part].state_dict(), vars(single)[part].state_dict()
        assert expected.keys() == actual.keys()
        assert all(torch.equal(expected[name], actual[name]) for name in expected), part
    assert folder.tokenizer.get_vocab() == single.tokenizer.get_vocab()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_written_again_the_file_is_the_same(tiny, tmp_path, dtype):
    """Downloaded models are in half precision, too."""
    file, second = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(tiny / "tiny.safetensors").items()}, file)
    model = load(ModelOptions(path=str(file), config=str(tiny)), dtype, dtype)
    write_single(second, {part: vars(model)[part].state_dict() for part in PARTS})
    assert second.read_bytes() == file.read_bytes()


def test_names_in_a_checkpoint_are_sgms():
    """The names of the true SDXL are those of Stability's own code."""
    ours = skeleton("unet", ModelOptions(path="sdxl.safetensors")).state_dict()
    theirs = {}
    for name, module in sgm.unet().items():
        theirs[f"model.diffusion_model.{name}.weight"] = module.weight
        if module.bias:
            theirs[f"model.diffusion_model.{name}.bias"] = module.weight[:1]
    assert {PARTS["unet"](name).key: tuple(tensor.shape) for name, tensor in ours.items()} == theirs
    blocks = "conditioner.embedders.1.model.transformer.resblocks."
    ours = skeleton("text_encoder_2", ModelOptions(path="sdxl.safetensors")).state_dict()
    names = {PARTS["text_encoder_2"](name).key for name in ours}
    for name in sgm.open_clip(32, 1280):
        kind = "in_proj_weight" if name.endswith("attn") else "weight"
        assert f"conditioner.embedders.1.{name}.{kind}" in names
    assert sum(name.startswith(blocks) for name in names) == 32 * 12


def test_marks_decide_what_is_learned(tiny, tmp_path):
    """From a checkpoint's own marks to what a run predicts, and what its file says."""
    file = tmp_path / "v.safetensors"
    tensors = load_file(tiny / "tiny.safetensors")
    save_file(tensors | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, file)
    options = Options(
        run=RunOptions(out="out"), model=ModelOptions(path=str(file)), data=(DataOptions(path="x"),)
    )
    model = load(ModelOptions(path=str(file), config=str(tiny)), torch.float32)
    objective = Objective.of(options, model, torch.device("cpu"))
    assert (objective.prediction, objective.zero_terminal_snr, float(objective.alphas[-1])) == ("v", True, 0)
    for prediction, zero, expected in (("epsilon", "no", ("epsilon", False)), ("v", "no", ("v", False))):
        model_options = ModelOptions(path=str(file), prediction=prediction, zero_terminal_snr=zero)
        objective = Objective.of(replace(options, model=model_options), model, torch.device("cpu"))
        assert (objective.prediction, objective.zero_terminal_snr) == expected
    with pytest.raises(ConfigError, match=r'set model\.prediction = "v"'):
        Objective.of(
            replace(options, model=ModelOptions(path=str(file), prediction="epsilon")),
            model,
            torch.device("cpu"),
        )


def test_diffusers_reads_the_single_file_the_same(tiny):
    """An independent reader of SGM's layout."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    file = str(tiny / "tiny.safetensors")
    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        theirs = kind.from_single_file(
            file, config=str(tiny), subfolder=part, local_files_only=True, low_cpu_mem_usage=False
        ).state_dict()
        ours = load_file(tiny / part / "diffusion_pytorch_model.safetensors")
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_the_shipped_configuration_is_sdxls():
    options = ModelOptions(path="sdxl.safetensors")
    sizes = {part: sum(p.numel() for p in skeleton(part, options).parameters()) for part in PARTS}
    assert sizes == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }


@pytest.mark.parametrize(
    ("extra", "metadata", "v", "zero"),
    [
        ((), None, False, False),
        (("v_pred", "ztsnr"), None, True, True),
        (("v_pred",), None, True, False),
        ((), {"modelspec.prediction_type": "v"}, True, False),
    ],
)
def test_marks_of_a_file(tmp_path, extra, metadata, v, zero):
    save_file(
        {"x": torch.zeros(1)} | {name: torch.zeros(0) for name in extra}, tmp_path / "m.safetensors", metadata
    )
    assert read_marks(tmp_path / "m.safetensors") == (v, zero)


def test_marks_of_a_folder(tiny, tmp_path):
    shutil.copytree(tiny / "scheduler", tmp_path / "scheduler")
    file = tmp_path / "scheduler" / "scheduler_config.json"
    assert read_marks(tmp_path) == (False, False)
    text = file.read_text().replace('"epsilon"', '"v_prediction",\n"rescale_betas_zero_snr": true')
    file.write_text(text)
    assert read_marks(tmp_path) == (True, True)


def test_a_file_of_something_else_is_named(tiny, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / "torn.safetensors").write_bytes((tiny / "tiny.safetensors").read_bytes()[:5000])
    (tmp_path / "old.ckpt").write_bytes(b"")
    for name, message in (
        ("x.safetensors", "another kind of model"),
        ("torn.safetensors", "cannot be read as safetensors"),
        ("old.ckpt", "may run code"),
        ("none.safetensors", "does not exist"),
    ):
        with pytest.raises(ModelError, match=message):
            load(ModelOptions(path=str(tmp_path / name), config=str(tiny)), torch.float32)
    with pytest.raises(ModelError, match=r"model\.config"):
        load(ModelOptions(path=str(tiny / "tiny.safetensors"), tokenizers=str(tiny)), torch.float32)


def test_the_tiny_model_overwrites_nothing(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(DestinationError, match="is there already"):
        write_tiny(tmp_path)
