"""How a layer with a LoKr computes x · (W + w1 ⊗ w2): by the merged weight, or by the factors on the activations.

With C the cost of the product x · W, and f the size of w1, forward and backward cost

* 3 C by the merged weight, as plain weights do: it is built once an update, the gradient with respect to it is summed over
  the update, and folded into those of w1 and w2 at the end. That is exact, since the loss sees the factors through the
  merged weight alone. It takes the memory of two more weights.
* (2 + 3 / f) C by the factors, and two copies of the activations that are moved about.

Timed on a processor, factors beside merged weight, building and folding left out (`make bench-train` times the whole):

| layer | f = 2 | f = 4 | f = 8 |
|---|---|---|---|
| linear, 154 to 1,024 rows | 1.03 to 1.23 | 0.96 to 1.13 | 0.74 to 0.98 |
| convolution, 3 by 3 | | | 0.62 to 0.95 |
| convolution, 1 by 1 | | | 1.35 |

In half precision a merged weight would lose most of a small difference to rounding (w2 of 2e-5 beside W of 3e-2), and the
difference by itself costs a fourth product: there the factors are used. So they are for layers that see one vector an
image, such as those of the timestep's embedding: for them a gradient of the size of W is dear.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import psutil
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.lokr.preset import Target

_ONE_VECTOR: Final = ("_time_embed_", "_label_emb_", "_emb_layers_")
"""Parts of the names of layers that see one vector an image."""
_LARGE: Final = 8
"""The factor from which the factors cost less than the merged weight, but for convolutions of one pixel."""
_SHARE: Final = 3
"""Merged weights and their gradients take no more than this part of all memory."""


class Changed(ABC):
    """What a layer that is changed computes.

    Args:
        module: LyCORIS's, which holds `lokr_w1` and `lokr_w2` in full; or `w_norm` and `b_norm`.
        layer: the frozen layer: linear, a convolution, or a norm.
    """

    def __init__(self, module: Any, layer: Any) -> None:
        self.module = module
        self.layer = layer
        self.kind: type = type(layer)

    def apply(self) -> None:
        """Let the layer give what this gives.

        It is the layer's class that is changed, and not its attribute `forward`: so torch.compile knows the layers of two
        blocks as alike, and the blocks share what is compiled.
        """
        self.layer.changed = self
        self.layer.__class__ = _changed_kind(self.kind)

    def remove(self) -> None:
        """Let the layer give what it gave before."""
        self.layer.__class__ = self.kind
        del self.layer.changed

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """What the layer makes of its input."""

    def fold(self) -> None:  # noqa: B027 - most have them by each step backward
        """Give the weights the gradients of the update, where they do not have them yet."""

    def changed(self) -> None:  # noqa: B027 - most keep nothing that follows from them
        """Notice that the weights were moved."""

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(self.layer, torch.nn.Conv2d):
            layer = self.layer
            return functional.conv2d(
                x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
            )
        return functional.linear(x, weight, bias)


class Merged(Changed):
    """By the merged weight."""

    def __init__(self, module: Any, layer: Any) -> None:
        super().__init__(module, layer)
        self.weight = torch.empty_like(layer.weight, requires_grad=True)
        self.changed()

    def __call__(self, x: Tensor) -> Tensor:
        """One product."""
        return self._product(x, self.weight, self.layer.bias)

    @torch.no_grad()
    def changed(self) -> None:
        """Build the weight anew."""
        held = self.layer.weight
        w1, w2 = self.module.lokr_w1.to(held), self.module.lokr_w2.to(held)
        blocks = (w1.shape[0], w2.shape[0], w1.shape[1], *w2.shape[1:])
        spread = (w1.shape[0], 1, w1.shape[1], *[1] * (w2.ndim - 1))
        product = w1.view(spread), w2[None, :, None]
        torch.addcmul(held.view(blocks), *product, out=self.weight.view(blocks))

    @torch.no_grad()
    def fold(self) -> None:
        """D w1 and d w2 from d (W + w1 ⊗ w2), by the sums over the places that each number of theirs went to."""
        if self.weight.grad is None:
            return
        w1, w2 = self.module.lokr_w1, self.module.lokr_w2
        blocks = self.weight.grad.to(w1.dtype).view(
            w1.shape[0], w2.shape[0], w1.shape[1], -1
        )  # (a, b, c, d k)
        flat = w2.reshape(w2.shape[0], -1)  # (b, d k)
        d_w2 = torch.zeros_like(flat)[:, None]
        # A row of w1 at a time: an einsum over all of it copies the gradient twice to bring like places together.
        for row, block in zip(w1, blocks, strict=True):
            d_w2.baddbmm_(row.expand(len(block), 1, -1), block)
        _add(w1, torch.stack([torch.bmm(block, flat[:, :, None]).sum((0, 2)) for block in blocks]))
        _add(w2, d_w2.view_as(w2))
        self.weight.grad = None


class Factored(Changed):
    """By the frozen layer, and the factors on the activations."""

    def __call__(self, x: Tensor) -> Tensor:
        """The frozen layer's product, and two small ones."""
        w1, w2 = self.module.lokr_w1.to(x.dtype), self.module.lokr_w2.to(x.dtype)
        frozen = self._product(x, self.layer.weight, self.layer.bias)
        if not isinstance(self.layer, torch.nn.Conv2d):
            blocks = x.reshape(-1, w1.shape[1], w2.shape[1])
            if w2.shape[1] <= w2.shape[0]:  # w1 goes over the smaller side
                mixed = functional.linear(functional.linear(blocks.transpose(1, 2), w1).transpose(1, 2), w2)
            else:
                mixed = functional.linear(functional.linear(blocks, w2).transpose(1, 2), w1).transpose(1, 2)
            return frozen + mixed.reshape(frozen.shape)
        images, height, width = x.shape[0], *x.shape[2:]
        mixed = self._product(x.reshape(images * w1.shape[1], w2.shape[1], height, width), w2, None)
        mixed = torch.einsum("nc...,ac->na...", mixed.view(images, w1.shape[1], *mixed.shape[1:]), w1)
        return frozen + mixed.reshape(frozen.shape)


class Normed(Changed):
    """A norm by the sum of its own and the trained weights, in one pass; LyCORIS takes two."""

    def __call__(self, x: Tensor) -> Tensor:
        """Computed in what the trained weights are held in, since bfloat16 knows no 1 + 2e-5; given in what x is in."""
        weight, bias = self.layer.weight + self.module.w_norm, self.layer.bias + self.module.b_norm
        wide = x.to(weight.dtype)
        if isinstance(self.layer, torch.nn.GroupNorm):
            found = functional.group_norm(wide, self.layer.num_groups, weight, bias, self.layer.eps)
        else:
            found = functional.layer_norm(wide, self.layer.normalized_shape, weight, bias, self.layer.eps)
        return found.to(x.dtype)


def ways(
    targets: Sequence[Target], *, forward: str, half: bool, device: torch.device
) -> dict[str, type[Changed]]:
    """How each layer computes, by its name.

    What is chosen depends on the model, the options and the machine's memory alone, so that a run that is taken up
    goes on with the same bits.

    Args:
        targets: the layers.
        forward: `auto`, `merged` or `factored`.
        half: whether they compute in half precision.
        device: where.
    """
    named = [target for target in targets if target.factor]
    merged = {t.name for t in named} if forward == "merged" else set()
    if forward == "auto" and not half:
        free = _memory(device) // _SHARE
        for target in sorted(named, key=lambda target: target.factor):  # where most is won, first
            taken = 2 * target.module.weight.nbytes
            if _gains_merged(target) and taken <= free:
                merged.add(target.name)
                free -= taken
    return {t.name: Merged if t.name in merged else Factored if t.factor else Normed for t in targets}


def _gains_merged(target: Target) -> bool:
    """Whether the merged weight costs less than the factors, in single precision."""
    if any(part in target.name for part in _ONE_VECTOR):
        return False
    return target.factor < _LARGE or target.module.weight.shape[2:] == (1, 1)


@cache
def _changed_kind(kind: type) -> type:
    def forward(self: Any, x: Tensor) -> Tensor:
        found: Tensor = self.changed(x)
        return found

    return type(f"Changed{kind.__name__}", (kind,), {"forward": forward})


def _add(weight: Tensor, gradient: Tensor) -> None:
    weight.grad = gradient if weight.grad is None else weight.grad + gradient


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)
