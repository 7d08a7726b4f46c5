"""The memory of a batch's activations, counted and not measured.

The model runs once on the meta device, which has shapes and no numbers, in the precision of the run. Each tensor that
autograd keeps for the backward pass is counted once. Attention keeps its inputs, its output and a number a row, as the fused
kernels do. With checkpointing each block keeps its input, and one block at a time, the largest, keeps the rest too; blocks of
`run.keep_blocks` keep it all. The
memory of the backward pass itself, the kernels' buffers and gaps between tensors come on top: a tenth or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hakubooru_trainer import text
from hakubooru_trainer.data.batches import DOWN
from hakubooru_trainer.lokr.file import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.model.load import Sdxl

_BLOCKS: Final = {"ResnetBlock2D", "BasicTransformerBlock", "CLIPEncoderLayer"}
"""The classes of modules that checkpointing computes again in the backward pass."""


def blocks(unet: nn.Module) -> list[nn.Module]:
    """The blocks of a UNet that checkpointing computes again, those first that take the most time for their memory.

    A transformer's block computes more for each number that it keeps than a residual block does, and a wide one, which sees
    fewer places, more than a narrow one.
    """
    named: list[Any] = [block for block in unet.modules() if type(block).__name__ in _BLOCKS]
    return sorted(
        named, key=lambda block: (type(block).__name__ == "ResnetBlock2D", -len(block.norm1.weight))
    )


@dataclass(frozen=True)
class Activations:
    """The bytes of a batch's activations that are kept for the backward pass."""

    outside: int
    """What is outside of blocks, with the input of each block."""
    inside: tuple[int, ...]
    """What each block of the UNet keeps beside its input, in the order of `blocks`."""
    encoders: tuple[int, ...]
    """What each block of the text encoders keeps beside its input."""

    def bytes(self, *, checkpointing: bool, keep_blocks: int) -> int:
        """Add up what is kept at the same time: with checkpointing, only the largest of the blocks that are computed again."""
        if not checkpointing:
            return self.outside + sum(self.inside) + sum(self.encoders)
        again = (*self.inside[keep_blocks:], *self.encoders)
        return self.outside + sum(self.inside[:keep_blocks]) + max(again, default=0)


def activations(model: Sdxl, options: Options, size: tuple[int, int]) -> Activations:
    """Count the bytes of a batch's activations.

    Args:
        model: UNet and text encoders on the meta device, with the adapter applied.
        options: the options of the run.
        size: width and height of the images, in pixels.
    """
    batch, dtype = options.batch.size, DTYPES[options.run.precision]
    parts = (model.unet, model.text_encoder, model.text_encoder_2)
    counter = _Kept(parts)
    for part in parts:
        part.to(dtype)
    with torch.device("meta"), _Fused(), saved_tensors_hooks(counter.pack, lambda tensor: tensor):
        tokens = torch.zeros(batch, options.text.tokens // text.CHUNK, text.CHUNK + 2, dtype=torch.int64)
        with torch.set_grad_enabled(options.text.train):
            context, pooled = text.encode(model, tokens, tokens)
        model.unet(
            torch.empty(batch, 4, size[1] // DOWN, size[0] // DOWN, dtype=dtype),
            torch.empty(batch, dtype=torch.int64),
            encoder_hidden_states=context,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": torch.empty(batch, 6)},
        )
    in_order = blocks(model.unet)
    return Activations(
        outside=sum(counter.sizes.values()),
        inside=tuple(counter.inside[block] for block in in_order),
        encoders=tuple(size for block, size in counter.inside.items() if block not in in_order),
    )


class _Kept:
    """Counts the tensors that are kept for the backward pass, those inside of blocks apart."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        self.sizes: dict[int, int] = {}
        self.inside: dict[nn.Module, int] = {}
        self._all: list[Tensor] = []  # kept alive, so that no two of them have one address
        self._before: list[dict[int, int]] = []
        for block in (block for part in parts for block in part.modules()):
            if type(block).__name__ in _BLOCKS:
                block.register_forward_pre_hook(self._enter, with_kwargs=True)
                block.register_forward_hook(self._leave)

    def pack(self, tensor: Tensor) -> Tensor:
        viewed = tensor if tensor._base is None else tensor._base  # noqa: SLF001 - a view, such as W transposed, has its weight here
        if not isinstance(viewed, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            self.sizes[storage._cdata] = storage.nbytes()  # noqa: SLF001 - the address tells storages apart
            self._all.append(tensor)
        return tensor

    def _enter(self, block: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        del block
        self.pack(positional[0] if positional else named["hidden_states"])
        self._before.append(dict(self.sizes))

    def _leave(self, block: nn.Module, positional: tuple[Any, ...], output: Any) -> None:
        del positional, output
        before = self._before.pop()
        self.inside[block] = sum(self.sizes.values()) - sum(before.values())
        self.sizes = before


class _Fused(TorchFunctionMode):
    """Attention that keeps no scores. On the meta device torch has no such attention."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func is functional.scaled_dot_product_attention:
            query, key, value = args[:3]
            return _Attention.apply(query, key, value)  # type: ignore[no-untyped-call] # torch's
        return func(*args, **(kwargs or {}))


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, output, torch.empty(query.shape[:-1]))
        return output
