"""Frozen weights in 8 or 4 bits: linear layers hold them packed, and unpack one layer at a time where they are used.

| name | a number is | beside it | by |
|---|---|---|---|
| int8 | a whole number from -127 to 127 | a scale for each row | bitsandbytes, as LLM.int8 holds weights (Dettmers et al., 2022) |
| nf4 | one of the 16 quantiles of a normal distribution | a scale for each 64 numbers | bitsandbytes, as QLoRA (Dettmers et al., 2023) |
| fp8 | a float8_e4m3fn | a scale for each row | torch |

Nothing is computed in 8 or 4 bits: the unpacked weight has the precision of the activations. It is made in the forward pass
and again in the backward pass, so only the packed weight and one unpacked one are in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_BLOCK: Final = 64
"""The numbers that share a scale in nf4."""
_LARGEST: Final = 448.0
"""The largest float8_e4m3fn."""


class Packed(nn.Linear):
    """A linear layer that holds its weight packed. `pack` makes it of a plain one."""

    name: ClassVar[str]
    """The name of the format, as `run.weights` has it."""
    precision: torch.dtype
    """The precision that the layer had."""

    @property
    def weight(self) -> Tensor:  # type: ignore[override] # a parameter in the plain layer
        """The weight that the packed one stands for, (out, in), in the precision that the layer had."""
        return self.unpacked(self.precision)

    def hold(self, weight: Tensor) -> None:
        """Pack a weight, (out, in), and hold it."""
        raise NotImplementedError

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Unpack the weight, (out, in), in a precision."""
        raise NotImplementedError

    @staticmethod
    def bytes(outs: int, ins: int) -> int:
        """The bytes of a packed weight, (out, in): a byte a number, and a scale for each row."""
        return outs * ins + 4 * outs

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer, (…, in) → (…, out), in the precision of the activations."""
        device, dtype = autocast_of(x)
        with torch.autocast(device, enabled=False):
            bias = None if self.bias is None else self.bias.to(dtype)
            y: Tensor = _Product.apply(x.to(dtype), self, bias)  # type: ignore[no-untyped-call] # torch's
        return y


class Int8(Packed):
    """A linear layer with a weight of whole numbers and a scale for each row."""

    name = "int8"

    def hold(self, weight: Tensor) -> None:
        """Pack a weight, (out, in), and hold it."""
        from bitsandbytes.functional import int8_vectorwise_quant  # noqa: PLC0415 - an import of seconds

        # bitsandbytes' kernels read fp16, which has more bits than any of these weights keeps.
        self.numbers, self.scales, _ = int8_vectorwise_quant(weight.to(torch.float16))

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Unpack the weight, (out, in), in a precision."""
        from bitsandbytes.functional import int8_vectorwise_dequant  # noqa: PLC0415

        weight: Tensor = int8_vectorwise_dequant(self.numbers, self.scales)
        return weight.to(dtype)


class Nf4(Packed):
    """A linear layer with a weight of 4 bits a number and a scale for each 64 numbers."""

    name = "nf4"

    def hold(self, weight: Tensor) -> None:
        """Pack a weight, (out, in), and hold it."""
        from bitsandbytes.functional import quantize_4bit  # noqa: PLC0415 - an import of seconds

        self.numbers, state = quantize_4bit(weight.contiguous(), blocksize=_BLOCK, quant_type=self.name)
        self.scales, self.levels = state.absmax, state.code

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Unpack the weight, (out, in), in a precision."""
        from bitsandbytes.functional import QuantState, dequantize_4bit  # noqa: PLC0415

        state = QuantState(  # type: ignore[no-untyped-call] # bitsandbytes publishes no types
            self.scales,
            shape=torch.Size((self.out_features, self.in_features)),
            code=self.levels,
            blocksize=_BLOCK,
            quant_type=self.name,
            dtype=dtype,
        )
        return dequantize_4bit(self.numbers, state)

    @staticmethod
    def bytes(outs: int, ins: int) -> int:
        """The bytes of a packed weight, (out, in)."""
        return -(-outs * ins // 2) + 4 * -(-outs * ins // _BLOCK) + 64


class Fp8(Packed):
    """A linear layer with a weight of float8_e4m3fn and a scale for each row."""

    name = "fp8"

    def hold(self, weight: Tensor) -> None:
        """Pack a weight, (out, in), and hold it."""
        largest = weight.abs().amax(1, keepdim=True).float()
        self.scales = torch.where(largest > 0, largest / _LARGEST, 1)
        self.numbers = (weight.float() / self.scales).to(torch.float8_e4m3fn)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Unpack the weight, (out, in), in a precision."""
        return (self.numbers.float() * self.scales).to(dtype)


def autocast_of(x: Tensor) -> tuple[str, torch.dtype]:
    """The kind of device that autocast knows for a tensor, and the precision that it computes in there."""
    device = "cpu" if x.is_meta else x.device.type  # the meta device has no autocast
    return device, torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


FORMATS: Final[dict[str, type[Packed]]] = {kind.name: kind for kind in (Int8, Nf4, Fp8)}
"""The formats by their names in `run.weights`."""
_TENSORS: Final = ("numbers", "scales", "levels")


def pack(modules: Iterable[nn.Module], name: str, device: torch.device) -> None:
    """Pack the weights of all linear layers, one after the other, on the device that they are used on.

    Args:
        modules: the models.
        name: the format.
        device: where the weights are packed, and then stay.
    """
    for module in modules:
        for layer in module.modules():
            if type(layer) is nn.Linear:
                _pack(layer, FORMATS[name], device)


@torch.no_grad()
def _pack(layer: Any, kind: type[Packed], device: torch.device) -> None:
    weight = layer.weight.detach().to(device)
    del layer.weight
    layer.precision = weight.dtype
    layer.__class__ = kind
    for tensor in _TENSORS:
        layer.register_buffer(tensor, None)
    layer.hold(weight)


class _Product(Function):
    """The product with a packed weight, which keeps nothing for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Packed, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return functional.linear(x, layer.unpacked(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, None, None]:
        dx = dy @ ctx.layer.unpacked(dy.dtype) if ctx.needs_input_grad[0] else None
        return dx, None, None
