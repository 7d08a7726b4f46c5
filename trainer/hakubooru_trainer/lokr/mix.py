"""Mixing activations with the small factor of a LoKr: y[r, a, k] = Σ_c w[a, c] · x[r, c, k], in one pass over memory.

The sum has at most a handful of terms, so reading x and writing y is the whole cost. On a GPU a Triton kernel does it;
elsewhere matrix products do, with the same result but for rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from hakubooru_trainer.lokr.device import kernels

if TYPE_CHECKING:
    from torch import Tensor

_TILE: Final = 1024
"""Places (r, k) that one program of a kernel handles."""
_LARGEST: Final = 8
"""The largest factor that the kernels unroll."""


def mix(x: Tensor, w: Tensor, into: Tensor | None = None) -> Tensor:
    """Compute w · x, or add it to `into`.

    Args:
        x: (R, C, K), contiguous.
        w: (A, C), contiguous, of the dtype of x.
        into: (R, A, K), contiguous, changed in place; None for a new tensor.

    Returns:
        (R, A, K), of the dtype of x.
    """
    shape = (x.shape[0], w.shape[0], x.shape[2])
    run = kernels(x) if max(w.shape) <= _LARGEST else None
    if run is None:
        product = torch.matmul(w, x)
        return product if into is None else into.view(shape).add_(product)
    y = x.new_empty(shape) if into is None else into
    grid, tile = _tiles(x)
    run.mix[grid](x, w, y, x.shape[0], x.shape[2], *w.shape, ADD=into is not None, **tile)
    return y.view(shape)


def mix_backward(
    x: Tensor, w: Tensor, dy: Tensor, dx: Tensor | None = None, *, again: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute the gradients of `mix`, reading x and dy once.

    Args:
        x: (R, C, K), contiguous.
        w: (A, C), contiguous, of the dtype of x.
        dy: (R, A, K), contiguous.
        dx: (R, C, K), contiguous; the gradient of x is added to it. None for a new tensor.
        again: whether to compute w · x too.

    Returns:
        The gradient of x, (R, C, K); the gradient of w, (A, C), in float32 or wider; and w · x, (R, A, K), or None.
    """
    run = kernels(x) if max(w.shape) <= _LARGEST else None
    if run is None:
        wide = torch.promote_types(x.dtype, torch.float32)
        back = torch.matmul(w.t(), dy)
        dw = torch.einsum("rak,rck->ac", dy.to(wide), x.to(wide))
        return (
            back if dx is None else dx.view(x.shape).add_(back),
            dw,
            torch.matmul(w, x) if again else None,
        )
    grid, tile = _tiles(x)
    parts = x.new_empty((grid[0] * grid[1], w.numel()), dtype=torch.float32)
    out = torch.empty_like(x) if dx is None else dx
    y = x.new_empty(dy.shape) if again else None
    more = {"ADD": dx is not None, "AGAIN": again, **tile}
    run.mix_backward[grid](
        x, w, dy, out, dy if y is None else y, parts, x.shape[0], x.shape[2], *w.shape, **more
    )
    return out.view(x.shape), parts.sum(0).view(w.shape), y


def _tiles(x: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Divide the places among programs: the grid of programs, and the rows and columns of a program's tile."""
    rows, width = x.shape[0], x.shape[2]
    columns = min(256, width & -width)  # the largest power of two that divides width leaves no place idle
    if columns < 16:
        columns = 64
    height = max(1, _TILE // columns)
    return (-(-rows // height), -(-width // columns)), {"ROWS": height, "COLUMNS": columns}
