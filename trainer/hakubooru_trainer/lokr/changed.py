"""A layer with an adapter: what stands in for its forward pass, whichever way that is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


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
        self.convolves = isinstance(layer, torch.nn.Conv2d)

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
        if self.convolves:
            layer = self.layer
            return functional.conv2d(
                x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups
            )
        return functional.linear(x, weight, bias)


@cache
def _changed_kind(kind: type) -> type:
    def forward(self: Any, x: Tensor) -> Tensor:
        found: Tensor = self.changed(x)
        return found

    return type(f"Changed{kind.__name__}", (kind,), {"forward": forward})
