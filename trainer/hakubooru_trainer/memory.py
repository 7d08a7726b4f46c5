"""The memory of a batch's activations, counted and not measured.

The model runs once on the meta device, which has shapes and no numbers, in the precision of the run. Each tensor that
autograd keeps for the backward pass is counted once. Attention keeps its inputs, its output and a number a row, as the fused
kernels do. Then a block of each kind runs forward and backward by itself, and the most that lives at the same time is counted:
that is what a block takes while its gradients are computed.

With checkpointing each block keeps its input, and one block at a time is computed again; blocks of `run.keep_blocks` keep it
all. The kernels' buffers and gaps between tensors come on top.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hakubooru_trainer import text
from hakubooru_trainer.data.images import DOWN
from hakubooru_trainer.lokr.file import DTYPES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

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


class Block(NamedTuple):
    """The bytes of one block's activations, beside its input."""

    kept: int
    """What the forward pass keeps for the backward pass."""
    working: int
    """The most that lives at the same time while the block runs forward and then backward."""

    @property
    def backward(self) -> int:
        """What the backward pass takes at most beyond what was kept."""
        return max(0, self.working - self.kept)


@dataclass(frozen=True)
class Activations:
    """The bytes of a batch's activations."""

    outside: int
    """What is kept outside of blocks, with the input of each block."""
    unet: tuple[Block, ...]
    """The blocks of the UNet, in the order of `blocks`."""
    encoders: tuple[Block, ...]
    """The blocks of the text encoders, if they are trained."""

    def bytes(self, *, checkpointing: bool, keep_blocks: int) -> int:
        """Add up what lives at the same time: with checkpointing, one of the blocks that are computed again."""
        keep = keep_blocks if checkpointing else len(self.unet)
        kept, again = [*self.unet[:keep]], [*self.unet[keep:]]
        (again if checkpointing else kept).extend(self.encoders)
        working = [block.working for block in again] + [block.backward for block in kept]
        return self.outside + sum(block.kept for block in kept) + max(working, default=0)


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
    with torch.device("meta"), _Fused():
        with saved_tensors_hooks(counter.pack, lambda tensor: tensor):
            tokens = torch.zeros(batch, options.text.tokens // text.CHUNK, text.CHUNK + 2, dtype=torch.int64)
            with torch.set_grad_enabled(options.text.train):
                context, pooled = text.encode(model, tokens, tokens)
            model.unet(
                torch.empty(batch, 4, size[1] // DOWN, size[0] // DOWN, dtype=dtype),
                torch.empty(batch, dtype=torch.int64),
                encoder_hidden_states=context,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": torch.empty(batch, 6)},
            )
        counter.remove()
        working = {kind: _working(call) for kind, call in counter.calls.items()}
    counted = {block: Block(kept, working[counter.kinds[block]]) for block, kept in counter.inside.items()}
    in_order = blocks(model.unet)
    return Activations(
        outside=sum(counter.sizes.values()),
        unet=tuple(counted[block] for block in in_order),
        encoders=tuple(sizes for block, sizes in counted.items() if block not in in_order),
    )


class _Call(NamedTuple):
    """A block with its inputs."""

    block: nn.Module
    positional: tuple[Any, ...]
    named: dict[str, Any]


def _working(call: _Call) -> int:
    """The most bytes that live at the same time while a block runs forward and backward, without the weights' gradients."""
    live = _Live()
    positional, named = tree_map_only(
        torch.Tensor,
        lambda tensor: tensor.detach().requires_grad_(tensor.requires_grad),
        (call.positional, call.named),
    )
    inputs = {id(leaf) for leaf in tree_leaves((positional, named))}
    with live:
        output = call.block(*positional, **named)
    if not output.requires_grad:  # nothing before it or in it is trained, so that there is no backward pass
        return live.most
    for weight in _leaves(output):
        if id(weight) not in inputs:
            weight.grad = torch.empty_like(weight)  # the backward pass adds to it, as in an update
    with live:
        output.backward(torch.empty_like(output))
    return live.most


def _leaves(output: Tensor) -> Iterator[Tensor]:
    """The tensors whose gradients a backward pass would give."""
    nodes, seen = [output.grad_fn], {None}
    while nodes:
        node: Any = nodes.pop()
        if node not in seen:
            seen.add(node)
            nodes += (following for following, _ in node.next_functions)
            if hasattr(node, "variable"):
                yield node.variable


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make and that are still in use."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.now = 0
        """The bytes in use."""
        self.most = 0
        """The most bytes that were in use at the same time."""
        self._storages: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        # What an operation writes into, or gives a view of, is among its arguments.
        known = {storage._cdata for storage in _storages((args, kwargs))}  # noqa: SLF001 - the address tells storages apart
        for storage in _storages(output):
            place, size = storage._cdata, storage.nbytes()  # noqa: SLF001
            if place not in known and place not in self._storages:
                self._storages[place] = weakref.ref(storage, partial(self._end, place, size))
                self.now += size
        self.most = max(self.most, self.now)
        return output

    def _end(self, place: int, size: int, _: Any) -> None:
        del self._storages[place]
        self.now -= size


def _storages(tree: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class _Kept:
    """Counts the tensors that are kept for the backward pass, those inside of blocks apart."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        self.sizes: dict[int, int] = {}
        self.inside: dict[nn.Module, int] = {}
        self.kinds: dict[nn.Module, Hashable] = {}
        """The kind of each block: blocks of a kind have equal shapes, and all of their inputs have a gradient, or none."""
        self.calls: dict[Hashable, _Call] = {}
        """A call of a block of each kind."""
        self._all: list[Tensor] = []  # kept alive, so that no two of them have one address
        self._before: list[dict[int, int]] = []
        self._hooks: list[Any] = []
        for block in (block for part in parts for block in part.modules()):
            if type(block).__name__ in _BLOCKS:
                self._hooks += [
                    block.register_forward_pre_hook(self._enter, with_kwargs=True),
                    block.register_forward_hook(self._leave),
                ]

    def remove(self) -> None:
        """Remove the hooks from the blocks."""
        for hook in self._hooks:
            hook.remove()

    def pack(self, tensor: Tensor) -> Tensor:
        viewed = tensor if tensor._base is None else tensor._base  # noqa: SLF001 - a view, such as W transposed, has its weight here
        is_merged = viewed.is_leaf and viewed.requires_grad  # a merged weight, which `fits` counts
        if not is_merged and not isinstance(viewed, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            self.sizes[storage._cdata] = storage.nbytes()  # noqa: SLF001
            self._all.append(tensor)
        return tensor

    def _enter(self, block: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._before.append({})
        if not torch.is_grad_enabled():
            return
        hidden = positional[0] if positional else named["hidden_states"]
        weights = tuple(weight.shape for weight in block.parameters())
        kind = type(block), hidden.shape, hidden.requires_grad, weights
        self.kinds[block] = kind
        self.calls.setdefault(kind, _Call(block, positional, named))
        self.pack(hidden)
        self._before[-1] = dict(self.sizes)

    def _leave(self, block: nn.Module, positional: tuple[Any, ...], output: Any) -> None:
        del positional, output
        before = self._before.pop()
        if block in self.kinds:
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

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        del dy
        return tuple(map(torch.empty_like, ctx.saved_tensors[:3]))
