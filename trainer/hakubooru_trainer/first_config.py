"""A first configuration for a folder of images and a card: what fits, with the reasons as comments."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from hakubooru.files import write_text
from hakubooru.quantity import quantity
from hakubooru.settings import documentation, toml
from hakubooru_trainer.config.data import BucketOptions, CacheOptions, CaptionOptions, DataOptions
from hakubooru_trainer.config.options import (
    BatchOptions,
    ModelOptions,
    Options,
    RunOptions,
    ValidationOptions,
)
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.fits import GIB, changed, count, fastest, skeletons, table
from hakubooru_trainer.setup import data_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

UNKNOWN: Final = 24.0
"""The memory in GiB that is assumed where there is no GPU."""
_LARGEST: Final = 16
_ENOUGH: Final = 4
"""The batch from which it is worth to keep activations in memory."""
_SHARE: Final = 20
"""One image of so many is held out, up to 64 images."""
_MANY: Final = 200_000
"""The images from which latents are not cached, and one epoch is enough."""
_TIMES: Final = 10
"""How often a short run is measured, sampled and saved."""


class Card(NamedTuple):
    """The GPU that a configuration is for."""

    name: str
    memory: float
    """Its memory in GiB."""
    has_bf16: bool


class Fit(NamedTuple):
    """Options that fit a card."""

    options: Options
    gib: float
    """The estimated need, in GiB."""


def card(memory: float | None = None) -> Card:
    """The GPU of this machine, or one of a given memory in GiB."""
    if not torch.cuda.is_available():
        name = "A GPU" if memory else "A GPU of unknown size"
        return Card(name, memory or UNKNOWN, has_bf16=True)
    about = torch.cuda.get_device_properties(0)
    return Card(about.name, memory or about.total_memory / GIB, has_bf16=about.major >= 8)


def write(path: Path, model: str, folders: Sequence[str], gpu: Card, *, config: str = "") -> None:
    """Write what `first_config` gives to a file, which appears whole or not at all."""
    text = first_config(model, folders, gpu, config=config)
    write_text(path, text)


def first_config(model: str, folders: Sequence[str], gpu: Card, *, config: str = "") -> str:
    """Write a configuration with comments, as TOML.

    Args:
        model: the model to fine-tune.
        folders: the data sets.
        gpu: the card to train on.
        config: a diffusers folder with the configuration of a model that is not of SDXL's size.

    Raises:
        InputError: a folder cannot be trained on, or the model's configuration cannot be read.
    """
    options = Options(
        run=RunOptions(
            out="run",
            precision="bf16" if gpu.has_bf16 else "fp16",
            weights="bf16" if gpu.has_bf16 else "fp16",
        ),
        model=ModelOptions(path=model, config=config),
        data=tuple(DataOptions(path=folder) for folder in folders),
    )
    data = data_set(options, Ranks(torch.device("cpu")))
    images = len(data.train)
    sizes = data.sizes.sizes[data.sizes.of]
    small = float(((data.train.widths < sizes[:, 0]) | (data.train.heights < sizes[:, 1])).mean())
    knows_parts = all(source.knows_parts for source in data.train.sets)
    total = 256 if images > _MANY else 32
    options = replace(
        options,
        run=replace(options.run, epochs=1.0 if images > _MANY else 10.0),
        buckets=BucketOptions(upscale=small < 0.05),
        captions=CaptionOptions(tags="general" if knows_parts else "tail", drop_tags=0.1),
        cache=CacheOptions(latents="" if images > _MANY else "latents"),
        validation=ValidationOptions(images=min(64, images // _SHARE)),
    )
    fit = _fitting(options, gpu, data.largest)
    size = fit.options.batch.size
    options = replace(fit.options, batch=BatchOptions(size=size, accumulation=max(1, total // size)))
    updates = data_set(options, Ranks(torch.device("cpu"))).updates
    options = _often(options, updates)
    count = images + len(data.held_out)
    reasons = {
        "run.precision": "" if gpu.has_bf16 else f"{gpu.name} has no bf16.",
        "run.checkpointing": f"{gpu.name}, {gpu.memory:.0f} GiB: about {fit.gib:.0f} GiB are needed.",
        "buckets.upscale": f"{small:.0%} of the images are smaller than their buckets.",
        "batch.size": "The largest that fits, up to 16."
        if fit.gib <= gpu.memory
        else "Even this may not fit: it is the least.",
        "batch.accumulation": f"{quantity(options.batch.size * options.batch.accumulation, 'image makes', 'images make')} an update.",
        "data.path": f"{quantity(count, 'image')}.",
        "captions.tags": "" if knows_parts else "Those before ||| stay.",
        "run.epochs": f"{quantity(updates, 'update')} in all.",
        "optimizer.lr": ""
        if images > _MANY
        else "This one is Kohaku-XL Epsilon's, for millions of images. A few hundred may need more: "
        "examples/style.toml has adamw8bit with 1e-4.",
    }
    return "\n".join(_lines(options, reasons))


def _often(options: Options, updates: int) -> Options:
    """The options with a measurement, pictures and a save at each tenth of a run that is too short for the defaults."""
    tenth = max(1, updates // _TIMES)
    return replace(
        options,
        validation=replace(options.validation, every=min(tenth, options.validation.every)),
        samples=replace(options.samples, every=min(tenth, options.samples.every)),
        save=replace(options.save, every=min(tenth, options.save.every)),
    )


def _fitting(options: Options, gpu: Card, largest: tuple[int, int]) -> Fit:
    """The options with the largest batch that fits the card, without checkpointing if that batch is not too small.

    If not even one image fits with the weights as they are, the weights are packed.
    """
    one = replace(options, batch=BatchOptions(size=1))
    counts = count(one, *skeletons(one), largest)
    for checkpointing, least in ((False, _ENOUGH), (True, 1)):
        for size in range(_LARGEST, least - 1, -1):
            way = changed(one, {"run.checkpointing": checkpointing, "batch.size": size})
            if (needed := counts.needed(way)) <= gpu.memory * GIB:
                return Fit(way, needed / GIB)
    setting = fastest(one, counts, gpu.memory) or table(one, counts)[-1]
    return Fit(changed(one, setting.changes), setting.needed / GIB)


_KEYS: Final = {
    "run": ("out", "name", "seed", "epochs", "precision", "weights", "checkpointing"),
    "model": ("path", "vae_precision", "prediction"),
    "data": ("path", "weight", "prefix"),
    "buckets": ("area", "upscale"),
    "captions": ("tags", "shuffle", "drop_tags"),
    "text": ("train", "tokens"),
    "lokr": ("preset",),
    "loss": ("min_snr_gamma", "noise_offset"),
    "optimizer": ("name", "lr", "text_lr", "schedule", "warmup"),
    "batch": ("size", "accumulation"),
    "cache": ("latents",),
    "validation": ("images", "every"),
    "samples": ("prompts", "every"),
    "save": ("every", "keep"),
}
"""The keys that a first configuration has, by section; all others have their defaults."""
_MORE: Final = {"run": ("keep_blocks",), "model": ("config",)}
"""Keys that it has where they are set."""


def _lines(options: Options, reasons: dict[str, str]) -> Iterator[str]:
    yield "# A configuration for hakubooru-train. All keys: hakubooru-train run --help-config. A preview: hakubooru-train plan."
    for section, keys in _KEYS.items():
        value: Any = getattr(options, section)
        for part in value if isinstance(value, tuple) else (value,):
            yield ""
            yield f"[[{section}]]" if isinstance(value, tuple) else f"[{section}]"
            texts = documentation(type(part))
            more = [key for key in _MORE.get(section, ()) if getattr(part, key)]
            for key in (*keys, *more):
                first = texts[key].partition(". ")[0].rstrip(".") + "."
                about = f"{first} {reasons.get(f'{section}.{key}', '')}".strip()
                yield from textwrap.wrap(about, 100, initial_indent="# ", subsequent_indent="# ")
                yield f"{key} = {toml(getattr(part, key))}"
    yield ""
