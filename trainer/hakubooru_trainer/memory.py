"""The memory of a batch's activations, counted and not measured.

The model runs once on the meta device, which has shapes and no numbers, in the precision of the run. Each tensor that
autograd keeps for the backward pass is counted once. Attention keeps its inputs, its output and a number a row, as the fused
kernels do. With checkpointing each block keeps its input, and one block at a time, the largest, keeps the rest too. The
memory of the backward pass itself, the kernels' buffers and gaps between tensors come on top: a tenth or two.
"""

from __future__ import annotations

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


def activations(model: Sdxl, options: Options, size: tuple[int, int]) -> int:
    """Count the bytes of a batch's activations.

    Args:
        model: UNet and text encoders on the meta device, with the adapter applied.
        options: the options of the run.
        size: width and height of the images, in pixels.
    """
    batch, dtype = options.batch.size, DTYPES[options.run.precision]
    parts = (model.unet, model.text_encoder, model.text_encoder_2)
    counter = _Kept(parts, checkpointing=options.run.checkpointing)
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
    return counter.bytes


class _Kept:
    """Counts the tensors that are kept for the backward pass."""

    def __init__(self, parts: Iterable[nn.Module], *, checkpointing: bool) -> None:
        self.sizes: dict[int, int] = {}
        self.largest = 0
        self._all: list[Tensor] = []  # kept alive, so that no two of them have one address
        self._before: list[dict[int, int]] = []
        for block in (block for part in parts for block in part.modules() if checkpointing):
            if type(block).__name__ in _BLOCKS:
                block.register_forward_pre_hook(self._enter, with_kwargs=True)
                block.register_forward_hook(self._leave)

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values()) + self.largest

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
        del block, positional, output
        before = self._before.pop()
        self.largest = max(self.largest, sum(self.sizes.values()) - sum(before.values()))
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
