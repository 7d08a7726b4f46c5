"""Which settings of a run fit which cards: the memory that each setting needs, and the fastest one for a card.

Memory is counted and not measured; `memory.py` says how. The kernels' buffers and gaps between tensors take up to a tenth of it,
with CUDA graphs, whose memory is apart, more; and CUDA itself takes half a GiB: `needed` adds all that.
`tests/benchmarks/memory_count.py` compares the count with the memory of real runs, and `gpu_sdxl.py` with that of a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from hakubooru.files import write_text
from hakubooru.quantity import quantity
from hakubooru.settings import dump
from hakubooru_trainer import trial
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.file import DTYPES
from hakubooru_trainer.lokr.forward import Merged
from hakubooru_trainer.lokr.geglu import fuse
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.lokr.ways import ways
from hakubooru_trainer.memory import Activations, activations, blocks
from hakubooru_trainer.model.load import CLASSES, Sdxl, skeleton
from hakubooru_trainer.model.packed import FORMATS
from hakubooru_trainer.model.single_file import Marks
from hakubooru_trainer.setup import trained_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.lokr.changed import Changed

BYTES: Final = {"fp32": 4, "bf16": 2, "fp16": 2}
"""The bytes of a number by its precision."""
ACTIVATIONS: Final = "activations"
"""How the name of the one purpose begins that grows with the batch."""
CARDS: Final = (8, 12, 16, 24)
"""The sizes of cards that the table has, in GiB."""
GIB: Final = 1 << 30
_GAPS: Final = 1.1
_GAPS_OF_GRAPHS: Final = 1.17
"""Measured on an H200 with SDXL: 13.3 GiB of tensors took 16.1 GiB with checkpointing, and 37.5 took 40.4 without."""
_CUDA: Final = GIB // 2
_UNPACKING: Final = 2 * BYTES["fp32"]
"""The bytes of a number while it is unpacked: it and its product with its scale."""
_SOME_BLOCKS: Final = 40
"""The blocks that keep their activations in a row of the table."""


@dataclass(frozen=True)
class Counts:
    """What a model, its adapter and its batches hold, from which the memory of any setting follows."""

    whole: Mapping[str, int]
    """The numbers of each part of the model that are never packed."""
    linear: Mapping[str, tuple[tuple[int, int], ...]]
    """The shapes of the weights of linear layers, (out, in), of each part that can be packed."""
    trained: int
    """The trained numbers."""
    factors: int
    """The numbers of w1 and w2 among them."""
    merged: int
    """The numbers of the weights that are merged with the adapter."""
    blocks: tuple[int, ...]
    """The numbers of each block of the UNet, in the order of `memory.blocks`."""
    size: tuple[int, int]
    """Width and height of the largest images, in pixels."""
    images: int
    """The images of the batch whose activations are counted."""
    activations: Activations

    def memory(self, options: Options) -> dict[str, int]:
        """Estimate the memory on a GPU in bytes, by purpose; `batch.size` scales the activations."""
        run, images = options.run, options.batch.size
        is_drawn = bool(options.samples.prompts)
        away = {"vae"} if options.cache.latents and not is_drawn else set()
        away |= {"text_encoder", "text_encoder_2"} if options.cache.text and not is_drawn else set()
        kept = self.activations.bytes(checkpointing=run.checkpointing, keep_blocks=run.keep_blocks)
        state: float = 0 if options.optimizer.paged else trial.state_bytes(options.optimizer)
        state += 2 * BYTES[options.lokr.masters]  # the weights and their gradients
        purposes = {
            "frozen weights": sum(self._part(part, options) for part in self.whole if part not in away),
            "adapter, its gradients and the optimiser's state": int(self.trained * state),
            f"{ACTIVATIONS} of {quantity(images, 'image')}, {self.size[0]} x {self.size[1]}": kept
            * images
            // self.images,
        }
        if not run.is_packed:
            purposes["merged weights and their gradients"] = 2 * self.merged * BYTES[run.weights]
        if run.is_packed or _is_fused(options):
            purposes["the adapter's factors, rounded"] = self.factors * BYTES[run.precision]
        if run.stored != run.precision:  # autograd keeps what layers compute with
            purposes["the weights, rounded"] = self._rounded(options) * BYTES[run.precision]
        if options.ema.decay:
            purposes["the average of the adapter"] = self.trained * BYTES["fp32"]
        if run.is_packed:
            purposes["an unpacked weight"] = self._largest() * _UNPACKING
        return {purpose: size for purpose, size in purposes.items() if size}

    def needed(self, options: Options) -> int:
        """Estimate the memory of a card that the options need, in bytes."""
        gaps = _GAPS_OF_GRAPHS if options.run.graphs else _GAPS
        return int(sum(self.memory(options).values()) * gaps) + _CUDA

    def _part(self, part: str, options: Options) -> int:
        stored = options.model.vae_precision if part == "vae" else options.run.stored
        linear = self.linear.get(part, ())
        if options.run.is_packed:
            packed = sum(FORMATS[options.run.weights].bytes(*shape) for shape in linear)
        else:
            packed = sum(outs * ins for outs, ins in linear) * BYTES[stored]
        return self.whole[part] * BYTES[stored] + packed

    def _rounded(self, options: Options) -> int:
        """The numbers of the weights that a pass uses, but for those of blocks that are computed again."""
        if options.run.checkpointing:  # of the text encoders next to nothing is kept
            return self._numbers("unet") - sum(self.blocks[options.run.keep_blocks :])
        passed = ("unet", "text_encoder", "text_encoder_2") if options.text.train else ("unet",)
        return sum(map(self._numbers, passed))

    def _numbers(self, part: str) -> int:
        return self.whole[part] + sum(outs * ins for outs, ins in self.linear[part])

    def _largest(self) -> int:
        return max(outs * ins for shapes in self.linear.values() for outs, ins in shapes)


@dataclass(frozen=True)
class Setting:
    """A setting of the options that decide on memory and speed, with the memory that it needs."""

    name: str
    changes: Mapping[str, Any]
    """The keys of the configuration that differ, with their values."""
    needed: int
    """The estimated memory in bytes."""


def skeletons(options: Options) -> tuple[dict[str, Any], Adapter]:
    """The parts of a run's model, and its adapter, on the meta device: shapes without memory.

    Raises:
        InputError: the configuration of the model cannot be read, or the adapter does not fit it.
    """
    parts = {part: skeleton(part, options.model).requires_grad_(requires_grad=False) for part in CLASSES}
    return parts, Adapter(targets(trained_parts(parts, options), options.lokr))


def count(options: Options, parts: dict[str, Any], adapter: Adapter, size: tuple[int, int]) -> Counts:
    """Count what a model and its adapter hold. It applies the adapter.

    Args:
        options: the options of the run.
        parts: the parts of the model on the meta device, by the names of their folders.
        adapter: the adapter on these parts.
        size: width and height of the largest images, in pixels.
    """
    numbers = {part: sum(tensor.numel() for tensor in model.parameters()) for part, model in parts.items()}
    linear = {
        part: tuple(
            (layer.out_features, layer.in_features) for layer in model.modules() if type(layer) is nn.Linear
        )
        for part, model in parts.items()
        if part != "vae"
    }
    packable = {part: sum(outs * ins for outs, ins in shapes) for part, shapes in linear.items()}
    trained = sum(tensor.numel() for _, tensor in adapter.weights())
    numbers_of_blocks = tuple(
        sum(weight.numel() for weight in block.parameters()) for block in blocks(parts["unet"])
    )
    meta = torch.device("meta")
    chosen = _ways(options, adapter, meta)
    merged = sum(
        target.module.weight.numel() for target in adapter.targets if chosen.get(target.name) is Merged
    )
    for part in packable:  # before weights are merged, which have the type of the layer's
        parts[part].to(DTYPES[options.run.precision])
    adapter.to(meta)
    adapter.apply(options.lokr.forward, half=options.run.is_half)
    if options.run.is_half:
        fuse(parts["unet"])
    model = Sdxl(**parts, tokenizer=None, tokenizer_2=None, marks=Marks(v=False, zero_terminal_snr=False))
    return Counts(
        whole={part: numbers[part] - packable.get(part, 0) for part in numbers},
        linear=linear,
        trained=trained,
        factors=sum(tensor.numel() for name, tensor in adapter.weights() if "lokr" in name),
        merged=merged,
        blocks=numbers_of_blocks,
        size=size,
        images=options.batch.size,
        activations=activations(model, options, size),
    )


def table(options: Options, counts: Counts) -> list[Setting]:
    """List settings of the options from the fastest to the smallest, with the memory that each needs."""
    return [
        Setting(name, changes, counts.needed(changed(options, changes)))
        for name, changes in _settings(options)
    ]


def fastest(options: Options, counts: Counts, card: float) -> Setting | None:
    """Find the fastest setting that fits a card of so many GiB; None if none does.

    Of the settings with checkpointing, as many blocks keep their activations as fit.
    """
    for name, changes in _settings(options):
        if changes.get("run.keep_blocks"):
            continue
        most = len(counts.activations.unet) if changes["run.checkpointing"] else 0
        for keep in range(most, -1, -1):
            tried = changes | {"run.keep_blocks": keep}
            needed = counts.needed(changed(options, tried))
            if needed <= card * GIB:
                words = (
                    f"{name}, {quantity(keep, 'block keeps its', 'blocks keep their')} activations"
                    if keep
                    else name
                )
                return Setting(words, tried, needed)
    return None


def changed(options: Options, changes: Mapping[str, Any]) -> Options:
    """Change keys of the options, such as `run.weights`."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return replace(
        options, **{name: replace(getattr(options, name), **own) for name, own in sections.items()}
    )


def write(path: Path, options: Options) -> None:
    """Write a configuration with every key, in place of an earlier one."""
    write_text(path, dump(options))


def lines(settings: list[Setting]) -> list[str]:
    """Write settings as the lines of a table: memory, and whether they fit."""
    head = f"{'':<48}{'GiB':>6}" + "".join(f"{card:>5} GB" for card in CARDS)
    return [head] + [
        f"{setting.name:<48}{setting.needed / GIB:>6.1f}"
        + "".join(f"{'yes' if setting.needed <= card * GIB else 'no':>8}" for card in CARDS)
        for setting in settings
    ]


def _settings(options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    precision = options.run.precision
    none = {"run.weights": precision, "run.checkpointing": False, "run.keep_blocks": 0}
    again = none | {"run.checkpointing": True}
    yield f"{precision} weights, no checkpointing", none
    yield f"{precision} weights, {_SOME_BLOCKS} blocks keep theirs", again | {"run.keep_blocks": _SOME_BLOCKS}
    yield f"{precision} weights, checkpointing", again
    # Whole weights can be merged and compiled; packed ones are always used through the factors, and are not compiled.
    packed = again | {"lokr.forward": "auto", "run.compile": False}
    yield "int8 weights, checkpointing", packed | {"run.weights": "int8"}
    yield "nf4 weights, checkpointing", packed | {"run.weights": "nf4"}
    if options.batch.size > 1:
        one = {"batch.size": 1, "batch.accumulation": options.batch.accumulation * options.batch.size}
        yield "nf4 weights, checkpointing, batches of 1", packed | {"run.weights": "nf4"} | one


def _ways(options: Options, adapter: Adapter, device: torch.device) -> dict[str, type[Changed]]:
    """How each layer computes, by its name; nothing if LyCORIS computes all."""
    forward, half = options.lokr.forward, options.run.is_half
    return {} if forward == "lycoris" else ways(adapter.targets, forward=forward, half=half, device=device)


def _is_fused(options: Options) -> bool:
    return options.lokr.forward == "fused" or (options.lokr.forward == "auto" and options.run.is_half)
