"""What a run will come to, beside what it came to."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.autograd.graph import saved_tensors_hooks

from hakubooru_trainer import loop, memory, text
from hakubooru_trainer.config.options import (
    BatchOptions,
    CacheOptions,
    CaptionOptions,
    DataOptions,
    OptimizerOptions,
    TextOptions,
    ValidationOptions,
)
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.model.load import CLASSES, Sdxl, load, skeleton
from hakubooru_trainer.plan import plan
from hakubooru_trainer.setup import data_set, prepare, trained_parts
from tiny_runs import SMALLEST, SOME_LAYERS
from training_pairs import write_pairs

pytestmark = pytest.mark.slow


def test_it_tells_what_a_run_comes_to(options, tmp_path):
    write_pairs(tmp_path / "more", [(96, 96)] * 4)
    settings = options(
        validation=ValidationOptions(images=2),
        text=TextOptions(train=False, tokens=75),
        captions=CaptionOptions(shuffle=False),
        cache=CacheOptions(latents=str(tmp_path / "latents"), text=str(tmp_path / "text")),
    )
    settings = replace(settings, data=(*settings.data, DataOptions(path=str(tmp_path / "more"), weight=0.5)))
    preview = plan(settings)
    report = loop.run(settings)
    assert (preview.images, preview.held_out, preview.left_out) == (10, 2, {"no archive holds it": 2})
    assert [rate for _, _, rate in preview.sets] == [1, 0.5]
    assert sum(images for _, images, _ in preview.sets) == 10
    assert preview.updates == report.updates
    assert sum(count for _, _, count in preview.buckets) == 10
    assert preview.file_bytes == pytest.approx(
        report.file.stat().st_size, rel=0.3
    )  # names and metadata besides
    for name, size in preview.caches.items():
        folder = tmp_path / {"latents": "latents", "captions": "text"}[name]
        bytes_kept = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        assert bytes_kept == pytest.approx(size * 12 / 10, rel=0.3)
    text = str(preview)
    for part in (
        " images, each 0.5 times an epoch",
        "latents: 0.0 GB on disk",
        "activations of 2 images",
    ):
        assert part in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize(("device", "is_warned"), [("auto", True), ("cpu", False)])
def test_a_run_without_a_gpu_is_warned_of(options, capsys, device, is_warned):
    settings = options(validation=ValidationOptions(images=2))
    settings = replace(settings, run=replace(settings.run, device=device))
    assert any("torch sees no GPU here" in text for text in plan(settings).warnings) == is_warned
    loop.run(settings)
    assert ("warning: torch sees no GPU here" in capsys.readouterr().err) == is_warned


@pytest.mark.parametrize("has_copy", [False, True])
def test_held_out_images_that_are_trained_on_are_warned_of(options, export, tmp_path, capsys, has_copy):
    """Copies of an image in two folders have one id, and the last one that is held out may be trained on."""
    folders = [export, shutil.copytree(export, tmp_path / "copy")][: 1 + has_copy]
    settings = options(
        **SMALLEST,
        data=tuple(DataOptions(path=str(folder)) for folder in folders),
        validation=ValidationOptions(images=3),
    )
    warning = "1 held-out image is trained on, too"
    assert any(warning in text for text in plan(settings).warnings) == has_copy
    loop.run(replace(settings, run=replace(settings.run, updates=1)))
    assert (f"warning: {warning}" in capsys.readouterr().err) == has_copy


@pytest.mark.parametrize(("warmup", "reached"), [(8, "50%"), (4, None), (0, None)])
def test_it_says_what_a_warm_up_longer_than_the_run_reaches(options, warmup, reached):
    warned = [
        text
        for text in plan(options(optimizer=OptimizerOptions(warmup=warmup))).warnings
        if "warm-up" in text
    ]
    assert len(warned) == (reached is not None)
    assert all(
        f"the run has 4 updates, fewer than the warm-up: the learning rates reach {reached}" in text
        for text in warned
    )


def with_adapter(model, settings):
    adapter = Adapter(targets(trained_parts(vars(model), settings), settings.lokr))
    adapter.to(model.unet.conv_in.weight.device)
    adapter.apply(settings.lokr.forward)
    return model


@pytest.mark.parametrize(
    ("train", "preset", "forward"),
    [
        (True, "epsilon", "factored"),
        (False, "epsilon", "factored"),
        (False, "attention", "factored"),
        (True, "epsilon", "merged"),
    ],
)
def test_activations_are_those_that_autograd_keeps(options, train, preset, forward):
    """The attention preset trains nothing in the first blocks: no gradient passes them. Merged weights are no activations."""
    settings = options(
        text=TextOptions(train=train, tokens=150),
        batch=BatchOptions(size=3),
        lokr=replace(SOME_LAYERS, preset=preset, forward=forward),
    )
    tensors = {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            tensors[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    real = load(settings.model, torch.float32)
    frozen = {tensor.untyped_storage().data_ptr() for part in (real.unet, real.text_encoder, real.text_encoder_2)
              for tensor in (*part.parameters(), *part.buffers())}  # fmt: skip
    with_adapter(real, settings)
    frozen |= {
        layer.changed.weight.untyped_storage().data_ptr()
        for part in (real.unet, real.text_encoder, real.text_encoder_2)
        for layer in part.modules()
        if hasattr(layer, "changed") and hasattr(layer.changed, "weight")
    }
    tokens = torch.zeros(3, 2, 77, dtype=torch.int64)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.set_grad_enabled(train):
            context, pooled = text.encode(real, tokens, tokens)
        real.unet(
            torch.randn(3, 4, 8, 12),
            torch.zeros(3, dtype=torch.int64),
            encoder_hidden_states=context,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": torch.zeros(3, 6)},
        )
    measured = sum(
        tensor.untyped_storage().nbytes() for place, tensor in tensors.items() if place not in frozen
    )
    parts = {part: skeleton(part, settings.model).requires_grad_(requires_grad=False) for part in CLASSES}
    bare = Sdxl(**parts, tokenizer=None, tokenizer_2=None, marks=None)
    forecast = memory.activations(with_adapter(bare, settings), settings, (96, 64))
    assert forecast.bytes(checkpointing=False, keep_blocks=0) == pytest.approx(measured, rel=0.1)


def test_checkpointing_takes_less(options):
    sizes = []
    for checkpointing in (False, True):
        settings = options(batch=BatchOptions(size=3))
        settings = replace(settings, run=replace(settings.run, checkpointing=checkpointing))
        (size,) = (
            size for name, size in plan(settings).memory.items() if name.startswith("activations of 3")
        )
        sizes.append(size)
    assert sizes[1] < sizes[0] / 2


def test_cached_captions_are_as_wide_as_the_weights(options, tmp_path):
    """Encoders with weights in single precision give hidden states in it, also where they compute in half precision."""
    settings = options(
        text=TextOptions(train=False, tokens=75),
        captions=CaptionOptions(shuffle=False),
        cache=CacheOptions(text=str(tmp_path / "text")),
    )
    settings = replace(settings, run=replace(settings.run, precision="bf16"))
    alone = Ranks(torch.device("cpu"))
    planned = plan(settings).caches["captions"]
    prepare(settings, alone, data_set(settings, alone))
    (file,) = (tmp_path / "text").rglob("*.safetensors")
    tensors = load_file(file)
    size = sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith((".0", ".1")))
    assert planned == pytest.approx(size * 8 / 9, rel=0.05)  # eight captions, and the empty one


def test_a_data_set_whose_images_are_all_held_out_is_shown_with_none(options, tmp_path):
    write_pairs(tmp_path / "one", [(96, 96)])
    settings = options(validation=ValidationOptions(images=8))
    settings = replace(settings, data=(*settings.data, DataOptions(path=str(tmp_path / "one"))))
    settings = replace(
        settings, run=replace(settings.run, seed=0)
    )  # holds out the image of the second folder
    assert [images for _, images, _ in plan(settings).sets] == [1, 0]


@pytest.mark.parametrize(
    ("precision", "weights", "forward"),
    [("bf16", "bf16", "auto"), ("fp16", "fp16", "merged"), ("bf16", "fp32", "merged")],
)
def test_a_run_in_half_precision_can_be_planned(options, precision, weights, forward):
    settings = options(lokr=replace(SOME_LAYERS, forward=forward))
    settings = replace(settings, run=replace(settings.run, precision=precision, weights=weights))
    settings = replace(settings, optimizer=replace(settings.optimizer, lr=1e-5))
    preview = plan(settings)
    assert preview.memory["frozen weights"] > 0
    assert [setting.name for setting in preview.settings][-2] == "nf4 weights, checkpointing"
    assert "GiB    8 GB   12 GB" in str(preview)
