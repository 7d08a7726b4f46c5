"""The memory that a run needs on a GPU, estimated by purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru_trainer import trial
from hakubooru_trainer.lokr.adapter import Adapter
from hakubooru_trainer.lokr.preset import targets
from hakubooru_trainer.memory import activations
from hakubooru_trainer.model.load import CLASSES, Sdxl, skeleton
from hakubooru_trainer.model.single_file import Marks
from hakubooru_trainer.setup import trained_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru_trainer.config import Options

BYTES: Final = {"fp32": 4, "bf16": 2, "fp16": 2}
"""The bytes of a number by its precision."""
ACTIVATIONS: Final = "activations"
"""How the name of the one need begins that grows with the batch."""


def skeletons(options: Options) -> tuple[dict[str, Any], Adapter]:
    """The parts of a run's model, and its adapter, on the meta device: shapes without memory.

    Raises:
        InputError: the configuration of the model cannot be read, or the adapter does not fit it.
    """
    parts = {part: skeleton(part, options.model).requires_grad_(requires_grad=False) for part in CLASSES}
    return parts, Adapter(targets(trained_parts(parts, options), options.lokr))


def memory_needs(
    options: Options, parts: Mapping[str, Any], adapter: Adapter, largest: tuple[int, int]
) -> dict[str, int]:
    """The memory that a run needs, in bytes by purpose.

    Args:
        options: the options of the run.
        parts: the parts of its model, from `skeletons`; the adapter is put into them.
        adapter: the adapter.
        largest: width and height of the largest bucket, in pixels.
    """
    is_drawn = bool(options.samples.prompts)
    away = {"vae"} if options.cache.latents and not is_drawn else set()
    away |= {"text_encoder", "text_encoder_2"} if options.cache.text and not is_drawn else set()
    weights = {part: sum(tensor.numel() for tensor in model.parameters()) for part, model in parts.items()}
    precisions = {"vae": options.model.vae_precision}
    trained = sum(tensor.numel() for _, tensor in adapter.weights())
    merged = sum(target.module.weight.numel() for target in adapter.targets if target.factor)
    half = options.run.precision != "fp32" or options.run.weights != "fp32"
    way = options.lokr.forward
    if way == "auto":
        way = "fused" if half else "merged"
    elif way == "lycoris":
        way = "factored"  # LyCORIS keeps about as much for the backward pass
    adapter.to(torch.device("meta"))
    adapter.apply(way)
    model = Sdxl(**parts, tokenizer=None, tokenizer_2=None, marks=Marks(v=False, zero_terminal_snr=False))
    state = 2 * BYTES[options.lokr.masters] + trial.state_bytes(options.optimizer)
    needs = {
        "frozen weights": sum(
            count * BYTES[precisions.get(part, options.run.weights)]
            for part, count in weights.items()
            if part not in away
        ),
        "adapter, its gradients and the optimiser's state": int(trained * state),
        f"{ACTIVATIONS} of {options.batch.size} images, {largest[0]} x {largest[1]}": activations(
            model, options, largest
        ),
    }
    if way == "merged":
        needs["merged weights and their gradients"] = 2 * merged * BYTES[options.run.weights]
    if options.ema.decay:
        needs["the average of the adapter"] = trained * BYTES["fp32"]
    return needs
