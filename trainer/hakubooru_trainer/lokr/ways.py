"""The choice of how each layer of an adapter computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psutil
import torch

from hakubooru_trainer.lokr.forward import Factored, Merged, Normed
from hakubooru_trainer.lokr.fused import Fused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru_trainer.lokr.changed import Changed
    from hakubooru_trainer.lokr.preset import Target

_ONE_VECTOR: Final = ("_time_embed_", "_label_emb_", "_emb_layers_")
"""Parts of the names of layers that see one vector an image."""
_LARGE: Final = 8
"""The factor from which the factors cost less than the merged weight, except for convolutions of 1 by 1."""
_SHARE: Final = 3
"""Merged weights and their gradients take no more than the memory divided by this."""


def ways(
    targets: Sequence[Target], *, forward: str, half: bool, device: torch.device
) -> dict[str, type[Changed]]:
    """How each layer computes, by its name.

    The choice depends only on the model, the options and the machine's memory, so that a resumed run goes on with the
    same bits.

    Args:
        targets: the layers.
        forward: `merged`, `factored`, `fused`, or `auto`. `auto` is `fused` in half precision. In single precision it is
            `merged` for layers that gain from it, as far as memory goes, and `factored` for the rest.
        half: whether the layers compute in half precision.
        device: the device they compute on.
    """
    named = [target for target in targets if target.factor]
    merged = {t.name for t in named} if forward == "merged" else set()
    if forward == "auto" and not half:
        free = _memory(device) // _SHARE
        for target in sorted(named, key=lambda target: target.factor):  # small factors gain most
            taken = 2 * target.module.weight.nbytes
            if _gains_merged(target) and taken <= free:
                merged.add(target.name)
                free -= taken
    other = Fused if forward == "fused" or (forward == "auto" and half) else Factored
    return {t.name: Merged if t.name in merged else other if t.factor else Normed for t in targets}


def _gains_merged(target: Target) -> bool:
    """Whether the merged weight costs less than the factors, in single precision."""
    if any(part in target.name for part in _ONE_VECTOR):
        return False
    return target.factor < _LARGE or target.module.weight.shape[2:] == (1, 1)


def _memory(device: torch.device) -> int:
    """The bytes of a device's memory; for the meta device, of the device that a run would take here."""
    if device.type == "cuda" or (device.type == "meta" and torch.cuda.is_available()):
        device = torch.device("cuda") if device.type == "meta" else device
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)
