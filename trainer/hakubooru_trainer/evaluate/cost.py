"""What drawing costs, counted before it begins: nothing here is measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from hakubooru.quantity import quantity
from hakubooru_trainer.data.images import DOWN
from hakubooru_trainer.model.load import skeleton
from hakubooru_trainer.text import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.evaluate.options import DrawingOptions
    from hakubooru_trainer.evaluate.pictures import Picture

RATES: Final = {"H100": 300, "RTX 4090": 90, "RTX 3090": 30}
"""TFLOP a second that a GPU is assumed to keep up in bf16: a third to a half of what its maker states for dense matrices."""
_BYTES_A_PIXEL: Final = 1.4
"""A drawn picture as PNG, roughly."""


class Operations:
    """Counts the floating-point operations of a picture by running the model on tensors without numbers.

    A multiplication with its addition counts as two. Left out: the text encoders, which run once for each picture, and all
    that is no product of matrices. Together they are less than a hundredth.

    Args:
        model: where the model lies.
        options: how pictures are drawn.
    """

    def __init__(self, model: ModelOptions, options: DrawingOptions) -> None:
        self._unet, self._vae = skeleton("unet", model), skeleton("vae", model)
        self._steps, self._tokens = options.steps, options.tokens // CHUNK * CHUNK + 2

    def of_picture(self, width: int, height: int) -> float:
        """Count a picture of this size in pixels: each step passes the UNet with the prompt and without, then the VAE decodes."""
        config = self._unet.config
        with torch.device("meta"), torch.no_grad():
            latents = torch.zeros(1, 4, height // DOWN, width // DOWN)
            context = torch.zeros(1, self._tokens, config.cross_attention_dim)
            pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            added = {"text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, 6)}
            step = _counted(lambda: self._unet(latents, torch.zeros(1), context, added_cond_kwargs=added))
            decoding = _counted(lambda: self._vae.decode(latents))
        return 2.0 * self._steps * step + decoding


def forecast(pictures: Sequence[Picture], options: DrawingOptions, operations: Operations) -> str:
    """Say in a sentence what drawing some pictures will take, in operations, hours and bytes.

    Args:
        pictures: the pictures that are still to be drawn.
        options: how they are drawn.
        operations: counts the operations of a picture.
    """
    sizes = Counter((one.width, one.height) for one in pictures)
    total = sum(operations.of_picture(*size) * count for size, count in sizes.items())
    hours = ", ".join(
        f"{total / rate / 3.6e15:,.1f} hours on one {name} at {rate} TFLOP/s" for name, rate in RATES.items()
    )
    size = sum(width * height * count for (width, height), count in sizes.items()) * _BYTES_A_PIXEL
    return (
        f"drawing {quantity(len(pictures), 'picture')}, as counted and not measured: {2 * options.steps * len(pictures):,} passes of the "
        f"UNet, {total / 1e18:.3g} EFLOP, which is {hours}; about {size / 1e9:.1f} GB of files"
    )


def _counted(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    total: int = counter.get_total_flops()
    return total
