"""What a run will come to, told without a model in memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.model.load import load_tokenizer, skeleton
from hakubooru_trainer.setup import data_set, trained_parts
from hakubooru_trainer.text import token_ids

if TYPE_CHECKING:
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.setup import DataSet

_BYTES: Final = {"fp32": 4, "bf16": 2, "fp16": 2}
_STATE_BYTES: Final = {"lion8bit": 1, "adamw8bit": 2, "lion": 4, "adamw": 8}
_READ_CAPTIONS: Final = 10_000
_RUN: Final = 200
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class Plan:
    """What a run will come to."""

    images: int
    held_out: int
    left_out: dict[str, int]
    """What the data sets name and cannot give, by reason."""
    buckets: list[tuple[int, int, int]]
    """Width, height and images of each bucket that has any."""
    batches: int
    """Of an epoch."""
    updates: int
    epochs: float
    layers: Counter[str]
    """How many layers of each part are changed; norms apart."""
    parameters: dict[str, int]
    """That are trained, by part."""
    file_bytes: int
    memory_bytes: int
    """Of the GPU, estimated: weights, gradients and the optimiser's state, without activations."""
    warnings: list[str]

    def __str__(self) -> str:
        """The plan as text."""
        lines = [f"images      {self.images:,} to train on, {self.held_out:,} held out"]
        lines += [f"            {count:,} left out: {reason}" for reason, count in self.left_out.items()]
        lines.append(f"buckets     {len(self.buckets)}")
        lines += [f"            {width} x {height}: {count:,}" for width, height, count in self.buckets]
        lines.append(f"updates     {self.updates:,}: {self.epochs:.2f} epochs of {self.batches:,} batches")
        lines += [
            f"{'adapter' if not place else '':<12}{part}: {self.layers[part]} layers, {count:,} parameters"
            for place, (part, count) in enumerate(self.parameters.items())
        ]
        lines.append(f"file        {self.file_bytes / 1e6:,.1f} MB")
        lines.append(f"GPU memory  {self.memory_bytes / _GIB:,.1f} GiB and what the activations take")
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def plan(options: Options) -> Plan:
    """What a run will come to.

    Raises:
        InputError: an option or the data set cannot be used.
    """
    data = data_set(options, Ranks(torch.device("cpu")))
    counts = np.bincount(data.sizes.of, minlength=len(data.sizes.sizes))
    parts = {
        part: skeleton(part, options.model) for part in ("unet", "vae", "text_encoder", "text_encoder_2")
    }
    found = targets(trained_parts(parts, options), options.lokr)
    adapter = Adapter(found)
    parameters: dict[str, int] = {}
    for target in found:
        size = sum(tensor.numel() for tensor in adapter.modules[target.name].parameters())
        parameters[target.part] = parameters.get(target.part, 0) + size
    trained = sum(parameters.values())
    frozen = {part: sum(tensor.numel() for tensor in model.parameters()) for part, model in parts.items()}
    vae = frozen.pop("vae") * _BYTES[options.model.vae_precision]
    masters = _BYTES[options.lokr.masters]
    return Plan(
        images=len(data.train),
        held_out=len(data.held),
        left_out=data.train.left_out,
        buckets=[(*size, int(count)) for size, count in zip(data.sizes.sizes.tolist(), counts, strict=True)],
        batches=data.order.batches(1),
        updates=data.updates,
        epochs=data.order.epochs(data.batches),
        layers=Counter(target.part if target.factor else "norms" for target in found),
        parameters=parameters,
        file_bytes=trained * _BYTES[options.lokr.save],
        memory_bytes=sum(frozen.values()) * _BYTES[options.run.weights]
        + vae
        + trained * (2 * masters + _STATE_BYTES[options.optimizer.name]),
        warnings=_warnings(options, data, counts),
    )


def _warnings(options: Options, data: DataSet, counts: np.ndarray) -> list[str]:
    warnings = []
    sizes = data.sizes.sizes[data.sizes.of]
    small = int(((data.train.widths < sizes[:, 0]) | (data.train.heights < sizes[:, 1])).sum())
    if small and options.buckets.upscale:
        warnings.append(
            f"{small:,} images are smaller than their buckets and will be enlarged; buckets.upscale = false keeps their size"
        )
    thin = int((counts < options.batch.size).sum())
    if thin:
        warnings.append(
            f"{thin} buckets hold fewer images than a batch ({options.batch.size}): their batches are "
            + ("filled with repeats" if options.buckets.incomplete == "fill" else "short")
        )
    rows = _spread(len(data.train), _READ_CAPTIONS)
    captions = [options.captions.unchanged()(data.train[row].caption, 0) for row in rows]
    lengths = np.array([*map(len, token_ids(load_tokenizer(options.model, "tokenizer"), captions))])
    long = int((lengths > options.text.tokens).sum())
    if long:
        warnings.append(
            f"{long:,} of {len(rows):,} captions that were looked at are longer than {options.text.tokens} tokens "
            "and will be cut off; text.tokens goes up to 225"
        )
    if int((lengths == 0).sum()):
        warnings.append(
            f"{int((lengths == 0).sum()):,} of {len(rows):,} captions that were looked at are empty"
        )
    return warnings


def _spread(rows: int, most: int) -> list[int]:
    """So many rows at the most, in a few runs from first to last: what stands together is read together."""
    runs = math.ceil(min(rows, most) / _RUN)
    starts = np.linspace(0, max(0, rows - _RUN), runs).astype(int)
    return sorted({row for start in starts.tolist() for row in range(start, min(start + _RUN, rows))})
