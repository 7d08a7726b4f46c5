"""A LoKr layer on activations with its own backward pass, which copies nothing and adds products as they are written.

x · (W + w1 ⊗ w2) is x · W plus two small products. Rows of activations are f pieces of d numbers, so w2 applies to all pieces
by one matrix product, whose result is added to x · W as it is written. w1 mixes the pieces in one pass (`mix`), on the side
where the activations are narrower: before w2 or after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import Function
from torch.nn import functional

from hakubooru_trainer.lokr.changed import Changed
from hakubooru_trainer.lokr.mix import mix, mix_backward
from hakubooru_trainer.model.packed import Packed, autocast_of

if TYPE_CHECKING:
    from torch import Tensor


class Fused(Changed):
    """A LoKr layer that adds the factors' product on the activations to the frozen layer's, in as few passes as possible.

    The factors are rounded to the precision of the activations once an update. Their gradients are in float32 or wider.
    """

    def __init__(self, module: Any, layer: Any) -> None:
        super().__init__(module, layer)
        self._rounded: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the layer: (…, in) → (…, out), or (N, in, H, W) → (N, out, H', W')."""
        layer = self.layer
        device, dtype = autocast_of(x)
        with torch.autocast(device, enabled=False):
            weight = layer if isinstance(layer, Packed) else layer.weight.to(dtype)
            frozen = weight, None if layer.bias is None else layer.bias.to(dtype)
            arguments = x.to(dtype), self.module.lokr_w1, self.module.lokr_w2, *self._factors(dtype), *frozen
            if self.convolves:
                y: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call] # torch's
                    *arguments, (layer.stride, layer.padding, layer.dilation)
                )
            else:
                y = _Linear.apply(*arguments)  # type: ignore[no-untyped-call]
        return y

    def changed(self) -> None:
        """Round the factors again, in place, since a captured graph reads them at their addresses."""
        if self._rounded is not None:
            with torch.no_grad():
                self._rounded[0].copy_(self.module.lokr_w1)
                self._rounded[1].copy_(self.module.lokr_w2)

    def _factors(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        w1, w2 = self.module.lokr_w1, self.module.lokr_w2
        if self._rounded is None or self._rounded[0].dtype != dtype or self._rounded[0].device != w1.device:
            self._rounded = w1.detach().to(dtype, copy=True), w2.detach().to(dtype, copy=True)
        return self._rounded


class _Linear(Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any,
        x: Tensor,
        _: Tensor,
        __: Tensor,
        w1: Tensor,
        w2: Tensor,
        weight: Tensor | Packed,
        bias: Tensor | None,
    ) -> Tensor:
        (a, c), (b, d) = w1.shape, w2.shape
        rows = x.reshape(-1, c, d)
        ctx.packed = weight if isinstance(weight, Packed) else None
        full = weight.unpacked(x.dtype) if isinstance(weight, Packed) else weight
        y = functional.linear(x, full, bias)
        mixed = None
        if c * d <= a * b:
            _add_product(y.view(-1, b), mix(rows, w1).view(-1, d), w2.t())
        else:
            mixed = torch.mm(rows.view(-1, d), w2.t()).view(-1, c, b)
            mix(mixed, w1, into=y.view(-1, a, b))
        # A packed weight is unpacked again in the backward pass, and not kept until then.
        ctx.save_for_backward(x, w1, w2, None if ctx.packed else full, mixed)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, weight, mixed = ctx.saved_tensors
        if ctx.packed:
            weight = ctx.packed.unpacked(dy.dtype)
        (a, c), (b, d) = w1.shape, w2.shape
        dy, rows = dy.contiguous(), x.reshape(-1, c, d)
        dx = torch.matmul(dy, weight)
        if mixed is None:
            dz = torch.mm(dy.view(-1, b), w2).view(-1, a, d)
            _, dw1, z = mix_backward(rows, w1, dz, dx.view(-1, c, d), again=True)
            assert z is not None
            dw2 = torch.mm(dy.view(-1, b).t(), z.view(-1, d))
        else:
            du, dw1, _ = mix_backward(mixed, w1, dy.view(-1, a, b))
            _add_product(dx.view(-1, d), du.view(-1, b), w2)
            dw2 = torch.mm(du.view(-1, b).t(), rows.view(-1, d))
        return dx, dw1, dw2.to(dw1.dtype), None, None, None, None


class _Convolution(Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any, x: Tensor, _: Tensor, __: Tensor, w1: Tensor, w2: Tensor, weight: Tensor, bias: Tensor | None, how: Any
    ) -> Tensor:  # fmt: skip
        (a, c), d = w1.shape, w2.shape[1]
        x = x.contiguous()
        y = functional.conv2d(x, weight, bias, *how).contiguous()
        mixed = functional.conv2d(x.view(-1, d, *x.shape[2:]), w2, None, *how).contiguous()
        mix(mixed.view(len(x), c, -1), w1, into=y.view(len(x), a, -1))
        ctx.save_for_backward(x, w1, w2, weight, mixed)
        ctx.how = how
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2, weight, mixed = ctx.saved_tensors
        (a, c), d = w1.shape, w2.shape[1]
        dy = dy.contiguous()
        du, dw1, _ = mix_backward(mixed.view(len(x), c, -1), w1, dy.view(len(x), a, -1))
        more = ctx.how, False, [0, 0], 1
        wanted = ctx.needs_input_grad[0]
        pieces = x.view(-1, d, *x.shape[2:])
        part, dw2, _ = _convolution_backward(du.view_as(mixed), pieces, w2, *more, [wanted, True, False])
        dx = None
        if wanted:
            dx, _, _ = _convolution_backward(dy, x, weight, *more, [True, False, False])
            dx = dx.add_(part.view(x.shape))
        return dx, dw1, dw2.to(dw1.dtype), None, None, None, None, None


def _convolution_backward(dy: Tensor, x: Tensor, weight: Tensor, how: Any, *more: Any) -> Any:
    return torch.ops.aten.convolution_backward(dy, x, weight, None, *map(list, how), *more)


def _add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left · right to `into` in one operation."""
    torch.addmm(into, left, right, out=into)
