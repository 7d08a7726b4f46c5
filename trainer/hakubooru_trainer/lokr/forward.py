"""Ways to compute x · (W + w1 ⊗ w2): by the merged weight, or by the factors on the activations.

With C the cost of the product x · W, and f the size of w1, forward and backward cost

* 3 C by the merged weight, as for plain weights. The weight is built once an update. The gradient with respect to it is
  summed over the update, and folded into those of w1 and w2 at the end. That is exact, since the loss sees the factors
  through the merged weight alone. It takes the memory of two more weights.
* (2 + 3 / f) C by the factors, plus two copies of activations.

Times on a processor of the factors divided by those of the merged weight, without building and folding (`make bench-train`
times the whole):

| layer | f = 2 | f = 4 | f = 8 |
|---|---|---|---|
| linear, 154 to 1,024 rows | 1.03 to 1.23 | 0.96 to 1.13 | 0.74 to 0.98 |
| convolution, 3 by 3 | | | 0.62 to 0.95 |
| convolution, 1 by 1 | | | 1.35 |

In half precision a merged weight would lose most of a small difference to rounding (w2 of 2e-5 beside W of 3e-2), and
computing the difference by itself costs a fourth product. So `fused` uses the factors there, without copies. In single
precision the factors are used for layers that see one vector an image, such as those of the timestep's embedding: a
gradient of the size of W is too costly for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from hakubooru_trainer.lokr.changed import Changed
from hakubooru_trainer.lokr.device import kernels
from hakubooru_trainer.lokr.norms import GroupNorm, LayerNorm

if TYPE_CHECKING:
    from torch import Tensor


class Merged(Changed):
    """A LoKr layer that computes with the merged weight W + w1 ⊗ w2."""

    def __init__(self, module: Any, layer: Any) -> None:
        super().__init__(module, layer)
        self.weight = torch.empty_like(layer.weight, requires_grad=True)
        self.changed()

    def __call__(self, x: Tensor) -> Tensor:
        """Compute one product with the merged weight."""
        return self._product(x, self.weight, self.layer.bias)

    @torch.no_grad()
    def changed(self) -> None:
        """Build the merged weight again."""
        frozen = self.layer.weight
        w1, w2 = self.module.lokr_w1.to(frozen), self.module.lokr_w2.to(frozen)
        blocks = (w1.shape[0], w2.shape[0], w1.shape[1], *w2.shape[1:])
        spread = (w1.shape[0], 1, w1.shape[1], *[1] * (w2.ndim - 1))
        product = w1.view(spread), w2[None, :, None]
        torch.addcmul(frozen.view(blocks), *product, out=self.weight.view(blocks))

    @torch.no_grad()
    def fold(self) -> None:
        """Add the gradients of w1 and w2. Each is a sum of the merged weight's gradient over the places that one number went to."""
        if self.weight.grad is None:
            return
        w1, w2 = self.module.lokr_w1, self.module.lokr_w2
        blocks = self.weight.grad.to(w1.dtype).view(
            w1.shape[0], w2.shape[0], w1.shape[1], -1
        )  # (a, b, c, d k)
        flat = w2.reshape(w2.shape[0], -1)  # (b, d k)
        d_w2 = torch.zeros_like(flat)[:, None]
        # One row of w1 at a time: an einsum over all of it would copy the gradient twice to reorder it.
        for row, block in zip(w1, blocks, strict=True):
            d_w2.baddbmm_(row.expand(len(block), 1, -1), block)
        _add(w1, torch.stack([torch.bmm(block, flat[:, :, None]).sum((0, 2)) for block in blocks]))
        _add(w2, d_w2.view_as(w2))
        self.weight.grad = None


class Factored(Changed):
    """A LoKr layer that adds the factors' product on the activations to the frozen layer's."""

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the frozen layer's product and two small ones."""
        w1, w2 = self.module.lokr_w1.to(x.dtype), self.module.lokr_w2.to(x.dtype)
        frozen = self._product(x, self.layer.weight, self.layer.bias)
        if not self.convolves:
            blocks = x.reshape(-1, w1.shape[1], w2.shape[1])
            if w2.shape[1] <= w2.shape[0]:  # apply w1 on the narrower side
                mixed = functional.linear(functional.linear(blocks.transpose(1, 2), w1).transpose(1, 2), w2)
            else:
                mixed = functional.linear(functional.linear(blocks, w2).transpose(1, 2), w1).transpose(1, 2)
            return frozen + mixed.reshape(frozen.shape)
        images, height, width = x.shape[0], *x.shape[2:]
        mixed = self._product(x.reshape(images * w1.shape[1], w2.shape[1], height, width), w2, None)
        mixed = torch.einsum("nc...,ac->na...", mixed.view(images, w1.shape[1], *mixed.shape[1:]), w1)
        return frozen + mixed.reshape(frozen.shape)


class Normed(Changed):
    """A norm with the sum of its own and the trained weights, in one pass; LyCORIS takes two."""

    def __call__(self, x: Tensor) -> Tensor:
        """Compute in the trained weights' precision, since bfloat16 has no 1 + 2e-5; the result has the dtype of x."""
        layer = self.layer
        weight, bias = layer.weight + self.module.w_norm, layer.bias + self.module.b_norm
        grouped = isinstance(layer, torch.nn.GroupNorm)
        if kernels(x) is not None:
            weight, bias = weight.float(), bias.float()
            if grouped:
                y: Tensor = GroupNorm.apply(x, weight, bias, layer.num_groups, layer.eps)  # type: ignore[no-untyped-call]
            else:
                y = LayerNorm.apply(x, weight, bias, layer.eps)  # type: ignore[no-untyped-call] # torch's
            return y
        wide = x.to(weight.dtype)
        if grouped:
            return functional.group_norm(wide, layer.num_groups, weight, bias, layer.eps).to(x.dtype)
        return functional.layer_norm(wide, layer.normalized_shape, weight, bias, layer.eps).to(x.dtype)


def _add(weight: Tensor, gradient: Tensor) -> None:
    weight.grad = gradient if weight.grad is None else weight.grad + gradient
