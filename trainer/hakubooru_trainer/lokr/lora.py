"""Plain LoRAs: the best one of a rank for a LoKr's change, and their tensors with SGM's names.

A layer has lora_unet_…_to_q.lora_down.weight, .lora_up.weight and .alpha, as ComfyUI, the sd-webui and sd-scripts name them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from hakubooru.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from hakubooru_trainer.lokr.layers import Layer

DOWN: Final = "lora_down.weight"
UP: Final = "lora_up.weight"
_NAME: Final = re.compile(r"(?P<layer>.+)\.(?P<own>lora_down\.weight|lora_up\.weight|alpha)")


class Lora(NamedTuple):
    """The change up · down · alpha / rank of a layer."""

    down: Tensor
    """(rank, inputs) of a linear layer, (rank, inputs, height, width) of a convolution."""
    up: Tensor
    """(outputs, rank), or (outputs, rank, 1, 1)."""
    alpha: float

    @property
    def rank(self) -> int:
        """The rank."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """The factor of the product."""
        return self.alpha / self.rank


class Nearest(NamedTuple):
    """The LoRA nearest to a layer's change."""

    lora: Lora
    lost: float
    """The squared Frobenius norm of what it lacks of the change."""
    whole: float
    """The squared Frobenius norm of the change."""


def nearest_lora(layer: Layer, rank: int) -> Nearest:
    """The LoRA of a rank that is nearest to a LoKr's change w1 ⊗ w2 in the Frobenius norm, fp32 (Eckart and Young, 1936).

    The singular values of w1 ⊗ w2 are the products of those of its factors, and so are the vectors (Van Loan, "The ubiquitous
    Kronecker product", 2000): the large product need not be decomposed.

    Args:
        layer: `lokr_w1`, (a, b), and `lokr_w2`, (c, d) or (c, d, height, width).
        rank: the rank; less where the change itself has less.
    """
    w1, w2 = layer["lokr_w1"].double(), layer["lokr_w2"].double()
    u1, s1, v1 = torch.linalg.svd(w1, full_matrices=False)
    u2, s2, v2 = torch.linalg.svd(w2.flatten(1), full_matrices=False)
    values = torch.outer(s1, s2).flatten()
    order = values.argsort(descending=True)
    taken = order[:rank]
    first, second = taken // len(s2), taken % len(s2)
    root = values[taken].sqrt()
    up = torch.einsum("an,cn->acn", u1[:, first], u2[:, second]).flatten(0, 1) * root
    down = torch.einsum("nb,nd->nbd", v1[first], v2[second]).flatten(1) * root[:, None]
    if w2.dim() == 4:
        up, down = up[:, :, None, None], down.reshape(len(taken), -1, *w2.shape[2:])
    squares = values**2
    lora = Lora(down.float().contiguous(), up.float().contiguous(), float(len(taken)))
    return Nearest(lora, float(squares[order[rank:]].sum()), float(squares.sum()))


def is_lora(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors with SGM's names are a LoRA's."""
    return any(name.endswith((f".{DOWN}", f".{UP}")) for name in tensors)


def read_lora(tensors: Mapping[str, Tensor], where: str) -> dict[str, Lora]:
    """The layers of a LoRA by SGM's names.

    Args:
        tensors: the tensors by SGM's names.
        where: the file, for messages.

    Raises:
        ModelError: there is a tensor of something else, or a layer is incomplete.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise ModelError(
                f"{where}: {name} does not belong to a plain LoRA, which has down and up matrices alone; "
                "use it with the program that made it"
            )
        layers.setdefault(match["layer"], {})[match["own"]] = tensor
    return {layer: _whole(layer, some, where) for layer, some in layers.items()}


def lora_tensors(layers: Mapping[str, Lora]) -> dict[str, Tensor]:
    """The tensors of a LoRA's file by SGM's names."""
    tensors: dict[str, Tensor] = {}
    for layer, lora in layers.items():
        tensors |= {
            f"{layer}.{DOWN}": lora.down,
            f"{layer}.{UP}": lora.up,
            f"{layer}.alpha": torch.tensor(lora.alpha),
        }
    return tensors


def _whole(layer: str, tensors: Mapping[str, Tensor], where: str) -> Lora:
    for own in (DOWN, UP):
        if own not in tensors:
            raise ModelError(f"{where}: {layer} has no {own}; the file is incomplete")
    down, up = tensors[DOWN], tensors[UP]
    if down.dim() not in {2, 4} or up.dim() != down.dim() or up.shape[1] != down.shape[0]:
        raise ModelError(
            f"{where}: {layer} has matrices of shapes {tuple(down.shape)} and {tuple(up.shape)}, which do not fit each other"
        )
    alpha = float(tensors["alpha"]) if "alpha" in tensors else float(down.shape[0])
    if not math.isfinite(alpha):
        raise ModelError(f"{where}: {layer}.alpha is {alpha}; write a finite number")
    return Lora(down, up, alpha)
