"""Layer and group norms in half precision with weights in float32, in as few passes as possible.

Weights of a trained norm are near 1 and move by steps of 2e-5, which half precision cannot hold. torch's norms need one dtype
for everything, so activations would be copied to float32 and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch.autograd import Function

from hakubooru_trainer.lokr.device import kernels

if TYPE_CHECKING:
    from torch import Tensor

_PROGRAMS: Final = 512
"""Programs that share the rows of a layer norm's backward pass; each computes a part of the weights' gradient."""
_BLOCK: Final = 2048
"""Places of a channel that one program handles."""


class LayerNorm(Function):
    """Layer norm over the last dimension by a kernel: x (…, N) in half precision, weight and bias (N,) in float32."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, programs: int = _PROGRAMS
    ) -> Tensor:
        """Compute the norm, (…, N), of the dtype of x; `programs` share the rows of the backward pass."""
        run, x = kernels(x), x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        y = torch.empty_like(x)
        means, rates = (x.new_empty(rows, dtype=torch.float32) for _ in range(2))
        ctx.block = 1 << (width - 1).bit_length()
        run.layer_norm[rows,](x, weight, bias, y, means, rates, width, eps, BLOCK=ctx.block)
        ctx.programs = programs
        ctx.save_for_backward(x, weight, means, rates)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x, weight and bias."""
        x, weight, means, rates = ctx.saved_tensors
        width = x.shape[-1]
        rows = x.numel() // width
        each = -(-rows // ctx.programs)
        programs = -(-rows // each)
        dx = torch.empty_like(x)
        dw, db = (weight.new_empty(programs, width) for _ in range(2))
        run = kernels(x)
        run.layer_norm_backward[programs,](
            x, weight, dy.contiguous(), means, rates, dx, dw, db, rows, width, EACH=each, BLOCK=ctx.block
        )
        return dx, dw.sum(0), db.sum(0), None, None


class GroupNorm(Function):
    """Group norm by kernels: x (B, C, …) in half precision, weight and bias (C,) in float32."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        """Compute the norm, (B, C, …), of the dtype of x."""
        run, x = kernels(x), x.contiguous()
        images, channels = x.shape[:2]
        places, each = x[0, 0].numel(), channels // groups
        y = torch.empty_like(x)
        means, rates = (x.new_empty(images * groups, dtype=torch.float32) for _ in range(2))
        run.group_moments[images * groups,](
            x, means, rates, each * places, eps, BLOCK=2 * _BLOCK, num_warps=8
        )
        grid = (images * channels, -(-places // _BLOCK))
        run.group_norm[grid](x, weight, bias, means, rates, y, channels, each, places, BLOCK=_BLOCK)
        ctx.save_for_backward(x, weight, means, rates)
        ctx.groups = groups
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x, weight and bias."""
        x, weight, means, rates = ctx.saved_tensors
        images, channels = x.shape[:2]
        places, each = x[0, 0].numel(), channels // ctx.groups
        run, dy = kernels(x), dy.contiguous()
        dw, db = (weight.new_empty(images, channels) for _ in range(2))
        run.group_norm_sums[images * channels,](x, dy, means, rates, dw, db, each, places, BLOCK=_BLOCK)
        along, level = (
            (sums * weight).view(-1, each).sum(1).div_(each * places) for sums in (dw, db)
        )  # (B * groups,)
        dx = torch.empty_like(x)
        grid = (images * channels, -(-places // _BLOCK))
        run.group_norm_backward[grid](
            x, weight, dy, means, rates, along, level, dx, channels, each, places, BLOCK=_BLOCK
        )
        return dx, dw.sum(0), db.sum(0), None, None
