"""GEGLU, the gate of SDXL's feed-forward layers, in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers.models.activations import GEGLU
from torch.autograd import Function

from hakubooru_trainer.lokr.device import kernels

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK: Final = 1024


class FusedGeglu(GEGLU):
    """diffusers' GEGLU, h · gelu(g) for the halves h and g of a projection; one kernel on a GPU in half precision."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Compute the layer: (…, in) → (…, out)."""
        both = self.proj(hidden_states)
        if kernels(both) is not None:
            gated: Tensor = _Gate.apply(both)  # type: ignore[no-untyped-call] # torch's
            return gated
        h, g = both.chunk(2, dim=-1)
        product: Tensor = h * self.gelu(g)
        return product


def fuse(model: torch.nn.Module) -> None:
    """Replace every GEGLU of a model by `FusedGeglu`."""
    for module in model.modules():
        if type(module) is GEGLU:
            module.__class__ = FusedGeglu


class _Gate(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1] // 2
        y = x.new_empty(*x.shape[:-1], width)
        kernels(x).geglu[y.numel() // width, -(-width // _BLOCK)](x, y, width, BLOCK=_BLOCK)
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        width = x.shape[-1] // 2
        dx = torch.empty_like(x)
        kernels(x).geglu_backward[dy.numel() // width, -(-width // _BLOCK)](
            x, dy.contiguous(), dx, width, BLOCK=_BLOCK
        )
        return dx
