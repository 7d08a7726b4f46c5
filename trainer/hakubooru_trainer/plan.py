"""A preview of a run, computed without a model in memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from hakubooru.quantity import quantity
from hakubooru_trainer import fits, randomness, trial
from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.images import DOWN
from hakubooru_trainer.data.kohya import unread_repeats, without_repeats
from hakubooru_trainer.data.masks import mask_of
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.fits import BYTES, GIB
from hakubooru_trainer.model.load import load_tokenizer
from hakubooru_trainer.optim import rate
from hakubooru_trainer.setup import data_set, not_held_out, without_gpu
from hakubooru_trainer.text import token_ids

if TYPE_CHECKING:
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.config.data import CaptionOptions
    from hakubooru_trainer.data.samples import Samples
    from hakubooru_trainer.fits import Counts, Setting
    from hakubooru_trainer.setup import DataSet

_READ_CAPTIONS: Final = 10_000
_RUN: Final = 200


@dataclass(frozen=True)
class Plan:
    """A preview of a run."""

    sets: list[tuple[str, int, float]]
    """Path, images, and how often an epoch draws each of them, for each data set."""
    images: int
    held_out: int
    left_out: dict[str, int]
    """How many images the data sets name and cannot give, by reason."""
    corrected: int
    """How many captions were changed since their export."""
    captions: list[str]
    """Lines that show some of the captions."""
    buckets: list[tuple[int, int, int]]
    """Width, height and number of images of each bucket that has any."""
    batches: int
    """The batches of the first epoch. Other epochs may differ by some if a data set is drawn in part."""
    updates: int
    epochs: float
    layers: Counter[str]
    """How many layers of each part are changed; norms are counted apart."""
    parameters: dict[str, int]
    """How many parameters are trained, by part."""
    file_bytes: int
    memory: dict[str, int]
    """The estimated memory on a GPU in bytes, by purpose; `fits.py` and `memory.py` say how it is estimated."""
    counts: Counts
    """What the memory of other settings follows from."""
    settings: list[Setting]
    """Settings from the fastest to the smallest, with the memory that each needs."""
    caches: dict[str, int]
    """The estimated size of the folders of `[cache]`, in bytes."""
    warnings: list[str]

    def __str__(self) -> str:
        """The plan as text."""
        lines = [
            f"{'data' if not place else '':<12}{path}: {quantity(images, 'image')}, each {'once' if rate == 1 else f'{rate:g} times'} an epoch"
            for place, (path, images, rate) in enumerate(self.sets)
        ]
        lines.append(f"images      {self.images:,} to train on, {self.held_out:,} held out")
        lines += [f"            {count:,} left out: {reason}" for reason, count in self.left_out.items()]
        if self.corrected:
            lines.append(
                f"            {self.corrected:,} with a caption that was changed since its export: the caption in its file is used"
            )
        lines += [f"{'captions' if not place else '':<12}{line}" for place, line in enumerate(self.captions)]
        lines.append(f"buckets     {len(self.buckets)}")
        lines += [f"            {width} x {height}: {count:,}" for width, height, count in self.buckets]
        lines.append(
            f"updates     {self.updates:,}: {self.epochs:.2f} epochs of {quantity(self.batches, 'batch', 'batches')}"
        )
        lines += [
            f"{'adapter' if not place else '':<12}{part}: {quantity(self.layers[part], 'layer')}, {count:,} parameters"
            for place, (part, count) in enumerate(self.parameters.items())
        ]
        lines.append(f"file        {self.file_bytes / 1e6:,.1f} MB")
        lines += [f"cache       {name}: {size / 1e9:,.1f} GB on disk" for name, size in self.caches.items()]
        lines.append(f"GPU memory  {sum(self.memory.values()) / GIB:,.1f} GiB, estimated:")
        lines += [f"            {name}: {size / GIB:,.1f} GiB" for name, size in self.memory.items()]
        lines += [
            f"{'cards' if not place else '':<12}{line}"
            for place, line in enumerate(fits.lines(self.settings))
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def plan(options: Options) -> Plan:
    """Preview a run.

    Raises:
        InputError: an option or the data set cannot be used.
    """
    trial.check(options)
    data = data_set(options, Ranks(torch.device("cpu")))
    counts = np.bincount(data.sizes.of, minlength=len(data.sizes.sizes))
    parts, adapter = fits.skeletons(options)
    parameters: dict[str, int] = {}
    for target in adapter.targets:
        size = sum(tensor.numel() for tensor in adapter.modules[target.name].parameters())
        parameters[target.part] = parameters.get(target.part, 0) + size
    members = np.bincount(data.train.sources, minlength=len(data.train.sets))
    counted = fits.count(options, parts, adapter, data.largest)
    return Plan(
        sets=[
            (source.options.path, int(count), source.options.weight * (source.options.repeats or 1))
            for source, count in zip(data.train.sets, members, strict=True)
        ],
        images=len(data.train),
        held_out=len(data.held_out),
        left_out=data.train.left_out,
        corrected=int((data.train.corrected >= 0).sum()),
        captions=_captions(options, data.train),
        buckets=[(*size, int(count)) for size, count in zip(data.sizes.sizes.tolist(), counts, strict=True)],
        batches=data.order.batches(1),
        updates=data.updates,
        epochs=data.order.epochs(data.batches),
        layers=Counter(target.part if target.factor else "norms" for target in adapter.targets),
        parameters=parameters,
        file_bytes=sum(parameters.values()) * BYTES[options.lokr.save],
        memory=counted.memory(options),
        counts=counted,
        settings=fits.table(options, counted),
        caches=_caches(options, parts, data, counts),
        warnings=_warnings(options, data, counts),
    )


def _captions(options: Options, samples: Samples) -> list[str]:
    """The lines for three captions, from first to last: their fixed and changed tags, and one step's caption."""
    captions = StepCaptions(options.captions)
    tokenizer = load_tokenizer(options.model, "tokenizer")
    join, how = options.captions.joined, _changes(options.captions)
    lines = []
    for row in sorted({0, len(samples) // 2, len(samples) - 1}):
        sample = samples[row]
        before, changed, after = captions.sides(sample)
        step = captions(sample, randomness.number("plan", options.run.seed, int(samples.ids[row])))
        (ids,) = token_ids(tokenizer, [sample.prefix + join([*before, *changed, *after])])
        cut = f" of {options.text.tokens} that are read" if len(ids) > options.text.tokens else ""
        rows = [("fixed", sample.prefix + join(before)), (how, join(changed)), ("fixed", join(after))]
        lines.append(f"{sample.path}, {quantity(len(ids), 'token')}{cut}")
        lines += [f"  {name}: {text}" for name, text in rows if text]
        lines.append(f"  one step: {step or 'nothing'}")
    return lines


def _changes(captions: CaptionOptions) -> str:
    """What a step does to the tags that are not fixed, in words."""
    words = ["shuffled"] if captions.shuffle else []
    if captions.drop_tags:
        words.append(f"{captions.drop_tags:.4g} of them dropped")
    if captions.shuffle_groups:
        words.append("groups shuffled")
    if captions.drop_groups:
        words.append(f"{captions.drop_groups:.4g} of the groups dropped")
    if captions.mix:
        words.append("taken as often as captions.mix says")
    return ", ".join(words) or "unchanged"


def _caches(options: Options, parts: dict[str, Any], data: DataSet, counts: np.ndarray) -> dict[str, int]:
    sizes = {}
    if options.cache.latents:
        places = int((data.sizes.sizes.prod(1) // DOWN**2 * counts).sum())
        sides = 2 if options.augment.flip else 1
        sizes["latents"] = places * sides * 2 * 4 * BYTES["fp32"]
    if options.cache.text:
        unet, pooled = parts["unet"].config, parts["text_encoder_2"].config.projection_dim
        numbers = (options.text.tokens + 2) * unet.cross_attention_dim + pooled
        sizes["captions"] = len(data.train) * numbers * BYTES[options.run.stored]
    return sizes


def _warnings(options: Options, data: DataSet, counts: np.ndarray) -> list[str]:
    warnings = [
        f"{one.path}: the number in the name of {name} has no effect, and each image is drawn once in an epoch; "
        "for repeats as kohya has them, set data.repeats, or write a [[data]] for each folder"
        for one in options.data
        for name in unread_repeats(one)
    ]
    warnings += [
        f"{one.path}/{name} is left out: the number in its name asks for no repeats"
        for one in options.data
        for name in without_repeats(one)
    ]
    warnings += _without_masks(data.train)
    sizes = data.sizes.sizes[data.sizes.of]
    small = int(((data.train.widths < sizes[:, 0]) | (data.train.heights < sizes[:, 1])).sum())
    if small and options.buckets.upscale:
        warnings.append(
            f"{quantity(small, 'image is smaller than its bucket', 'images are smaller than their buckets')} and will be enlarged; set buckets.upscale = false to avoid that"
        )
    thin = int((counts < options.batch.size).sum())
    if thin:
        warnings.append(
            f"{quantity(thin, 'bucket holds', 'buckets hold')} fewer images than a batch ({options.batch.size}): such batches are "
            + ("filled with repeats" if options.buckets.incomplete == "fill" else "short")
        )
    highest = rate(replace(options.optimizer, schedule="constant"), data.updates - 1, data.updates)
    if highest < 1:
        warnings.append(
            f"the run has {quantity(data.updates, 'update')}, fewer than the warm-up: the learning rates reach {highest:.0%} of what "
            "is set; lower optimizer.warmup"
        )
    rows = _spread(len(data.train), _READ_CAPTIONS)
    captions = [*map(StepCaptions(options.captions).unchanged, map(data.train.__getitem__, rows))]
    if "lines" in options.captions.mix and not any("\n" in data.train[row].caption.strip() for row in rows):
        warnings.append(
            f"captions.mix takes lines, and none of {quantity(len(rows), 'caption')} that were read has a line below the first"
        )
    tokenizer = load_tokenizer(options.model, "tokenizer")
    some = (captions[at : at + _RUN] for at in range(0, len(captions), _RUN))  # all at once would take 300 MB
    lengths = np.array([len(ids) for part in some for ids in token_ids(tokenizer, part)])
    long = int((lengths > options.text.tokens).sum())
    if long:
        warnings.append(
            f"{long:,} of {quantity(len(rows), 'caption')} that were read {'is' if long == 1 else 'are'} longer than {options.text.tokens} tokens "
            "and will be cut off; text.tokens can be up to 225"
        )
    if empty := int((lengths == 0).sum()):
        warnings.append(
            f"{empty:,} of {quantity(len(rows), 'caption')} that were read {'is' if empty == 1 else 'are'} empty"
        )
    if no_gpu := without_gpu(options):
        warnings.append(no_gpu)
    if leaked := not_held_out(data):
        warnings.append(leaked)
    return warnings


def _without_masks(samples: Samples) -> list[str]:
    """How many images of the data sets with masks have none."""
    warnings = []
    for place, source in enumerate(samples.sets):
        if not (options := source.options).masks:
            continue
        tables = source.rows.groups(["path"], samples.rows[samples.sources == place])
        paths = [path for table in tables for path in table.column(0).to_pylist()]
        if lacking := sum(mask_of(f"{options.path}/{path}", options) is None for path in paths):
            warnings.append(
                f"{options.path}: {lacking:,} of {quantity(len(paths), 'image')} {'has' if lacking == 1 else 'have'} no mask, and "
                f"{'counts' if lacking == 1 else 'count'} fully"
            )
    return warnings


def _spread(rows: int, most: int) -> list[int]:
    """Up to `most` rows, in a few runs from first to last: neighbours are read together."""
    runs = math.ceil(min(rows, most) / _RUN)
    starts = np.linspace(0, max(0, rows - _RUN), runs).astype(int)
    return sorted({row for start in starts.tolist() for row in range(start, min(start + _RUN, rows))})
