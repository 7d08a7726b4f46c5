"""A layer with an adapter: what replaces its forward pass, whichever way that is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class Changed(ABC):
    """A layer's forward pass with the adapter's change.

    Args:
        module: LyCORIS's module. It holds `lokr_w1` and `lokr_w2` in full, or `w_norm` and `b_norm`.
        layer: the frozen layer: linear, a convolution, or a norm.
    """

    def __init__(self, module: Any, layer: Any) -> None:
        self.module = module
        self.layer = layer
        self.kind: type = type(layer)
        self.convolves = isinstance(layer, torch.nn.Conv2d)

    def apply(self) -> None:
        """Replace the layer's forward pass by this one.

        The layer's class is replaced, not its attribute `forward`: so torch.compile sees that the layers of two blocks are
        alike, and the blocks share what is compiled.
        """
        self.layer.changed = self
        self.layer.__class__ = _changed_kind(self.kind)

    def remove(self) -> None:
        """Give the layer its own forward pass back."""
        self.layer.__class__ = self.kind
        del self.layer.changed

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Compute the layer's output for an input."""

    def fold(self) -> None:  # noqa: B027 - most kinds have the gradients after each backward pass
        """Complete the gradients of the weights at the end of an update."""

    def changed(self) -> None:  # noqa: B027 - most kinds keep nothing that depends on the weights
        """React to new values of the weights."""

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
        output: Tensor = self.changed(x)
        return output

    return type(f"Changed{kind.__name__}", (kind,), {"forward": forward})
