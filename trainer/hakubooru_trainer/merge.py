"""Adapters into models, and models into one another: tensor by tensor, in fp32, never a whole model in memory."""

from __future__ import annotations

import ast
import json
import operator
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import torch
from tqdm import tqdm

from hakubooru.errors import InputError, ModelError
from hakubooru.files import replacing
from hakubooru_trainer.lokr import file as adapter_file
from hakubooru_trainer.model.single_file import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

_NAMES: Final = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_OPERATIONS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_TEXT_1: Final = "conditioner.embedders.0.transformer."
_TEXT_2: Final = "conditioner.embedders.1.model.transformer.resblocks."


def merge(base: Path, lokr: Path, out: Path, *, scale: float = 1.0) -> int:
    """Write a single-file checkpoint with an adapter worked into its weights, and give how many layers were changed.

    Args:
        base: a single-file checkpoint.
        lokr: an adapter's file.
        out: the new checkpoint, in the base's precision.
        scale: how much of the adapter.

    Raises:
        ModelError: the adapter has layers that the checkpoint does not have, or is no LoKr of full matrices.
    """
    tensors = adapter_file.read(lokr)
    names = {name.rpartition(".")[0] for name in tensors}
    with open_file(base) as opened:
        places = {key: _adapter_names(key) for key in opened.keys()}  # noqa: SIM118 - no mapping
        known = {name for some in places.values() for name in some}
        for name in sorted(names - known):
            raise ModelError(
                f"{lokr} changes {name}, which {base} does not have; it was trained on another model"
            )

        def merged(key: str) -> Tensor:
            tensor: Tensor = opened.get_tensor(key)
            rows = torch.chunk(tensor, len(places[key])) if places[key] else (tensor,)
            changes = [_change(tensors, name, key) for name in places[key]]
            if all(change is None for change in changes):
                return tensor
            parts = [
                row if change is None else (row.float() + scale * change.reshape(row.shape)).to(tensor.dtype)
                for row, change in zip(rows, changes, strict=True)
            ]
            return torch.cat(parts)

        _write(out, ((key, merged) for key in places), _shapes(opened), opened.metadata() or {})
    return len(names)


def combine(formula: str, models: Mapping[str, Path], out: Path) -> None:
    """Write what a formula makes of models: `beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)`.

    Each tensor is computed in fp32 and written in the precision that the formula's first model has it in.

    Args:
        formula: names of models, numbers, + - * / and brackets.
        models: the files that the names stand for, all of the same tensors.
        out: the new file.

    Raises:
        InputError: the formula cannot be read, or names a model that is not given.
        ModelError: a file cannot be read, or has not the tensors of the first.
    """
    tree = _parsed(formula)
    used = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = sorted(set(used), key=formula.index)
    for name in used:
        if name not in models:
            raise InputError(f"the formula names {name!r}; say which file that is: --model {name}=FILE")
    if not used:
        raise InputError(f"the formula {formula!r} names no model")
    with ExitStack() as stack:
        opened = {name: stack.enter_context(open_file(models[name])) for name in used}
        first, *others = used
        shapes = _shapes(opened[first])
        for name in others:
            _check_same(shapes, _shapes(opened[name]), models[first], models[name])

        def combined(key: str) -> Tensor:
            values: dict[str, Tensor] = {name: file.get_tensor(key) for name, file in opened.items()}
            like = values[first]
            if not like.is_floating_point():
                return like
            made: Tensor = _value(tree, {name: value.float() for name, value in values.items()})
            return made.to(like.dtype)

        _write(out, ((key, combined) for key in shapes), shapes, opened[first].metadata() or {})


def _adapter_names(key: str) -> list[str]:
    """The names under which adapters change a tensor of a checkpoint; three where q, k and v stand in one."""
    module, _, kind = key.rpartition(".")
    if key.startswith("model.diffusion_model."):
        return [f"lora_unet_{module.removeprefix('model.diffusion_model.').replace('.', '_')}"]
    if key.startswith(_TEXT_1) and kind == "weight":
        return [f"lora_te1_{module.removeprefix(_TEXT_1).replace('.', '_')}"]
    if not key.startswith(_TEXT_2):
        return []
    layer, _, inner = key.removeprefix(_TEXT_2).partition(".")
    prefix = f"lora_te2_text_model_encoder_layers_{layer}"
    if inner == "attn.in_proj_weight":
        return [f"{prefix}_self_attn_{which}_proj" for which in "qkv"]
    short = {
        "attn.out_proj.weight": "self_attn_out_proj",
        "mlp.c_fc.weight": "mlp_fc1",
        "mlp.c_proj.weight": "mlp_fc2",
    }
    return [f"{prefix}_{short[inner]}"] if inner in short else []


def _change(tensors: Mapping[str, Tensor], name: str, key: str) -> Tensor | None:
    """What an adapter adds to a tensor, fp32; None if nothing."""
    if f"{name}.w_norm" in tensors:
        return tensors[f"{name}.{'w' if key.endswith('weight') else 'b'}_norm"].float()
    if key.endswith(".bias") or not any(f"{name}.{kind}" in tensors for kind in ("lokr_w1", "alpha")):
        return None
    if f"{name}.lokr_w1" not in tensors or f"{name}.lokr_w2" not in tensors:
        raise ModelError(f"{name} is no LoKr of full matrices; merge it with the program that made it")
    w1, w2 = tensors[f"{name}.lokr_w1"].float(), tensors[f"{name}.lokr_w2"].float()
    return torch.kron(w1.reshape(*w1.shape, *[1] * (w2.dim() - 2)), w2)


def _shapes(opened: Any) -> dict[str, tuple[torch.dtype, list[int]]]:
    names = {name: kind for kind, name in _NAMES.items()}
    found = {}
    for key in opened.keys():  # noqa: SIM118 - no mapping
        part = opened.get_slice(key)
        if part.get_dtype() not in names:
            raise ModelError(
                f"{key} is held as {part.get_dtype()}, which cannot be computed with; convert the model to fp16"
            )
        found[key] = (names[part.get_dtype()], part.get_shape())
    return found


def _check_same(one: Mapping[str, Any], other: Mapping[str, Any], path: Path, other_path: Path) -> None:
    for key in sorted(one.keys() ^ other.keys()):
        raise ModelError(
            f"only one of {path} and {other_path} has the tensor {key}; they are models of different kinds"
        )
    for key, (_, shape) in one.items():
        if other[key][1] != shape:
            raise ModelError(f"{key} is of shape {shape} in {path} and {other[key][1]} in {other_path}")


def _write(
    out: Path,
    makers: Iterable[tuple[str, Callable[[str], Tensor]]],
    shapes: Mapping[str, tuple[torch.dtype, list[int]]],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file one tensor after another; it appears whole or not at all."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for key, (dtype, shape) in shapes.items():
        size = torch.Size(shape).numel() * dtype.itemsize
        header[key] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(out) as beside, beside.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for key, make in tqdm(makers, total=len(shapes), unit="tensor", disable=None):
            file.write(make(key).contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _parsed(formula: str) -> ast.expr:
    try:
        tree = ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise InputError(f"the formula {formula!r} cannot be read at character {error.offset}") from error
    for node in _nodes(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in {int, float}
        if not number and not isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Name)):
            raise InputError(
                f"the formula {formula!r} has {ast.unparse(node)!r}; it takes names of models, numbers, + - * / and brackets"
            )
    return tree


def _nodes(tree: ast.expr) -> Iterator[ast.expr]:
    """All parts of a formula; what is no arithmetic is one part."""
    yield tree
    match tree:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            yield from (*_nodes(left), *_nodes(right))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            yield from _nodes(inner)
        case ast.BinOp() | ast.UnaryOp():
            raise InputError(f"the formula has {ast.unparse(tree)!r}; it takes + - * / and brackets")


def _value(tree: ast.expr, values: Mapping[str, Tensor]) -> Any:
    match tree:
        case ast.BinOp():
            return _OPERATIONS[type(tree.op)](_value(tree.left, values), _value(tree.right, values))
        case ast.UnaryOp():
            inner = _value(tree.operand, values)
            return -inner if isinstance(tree.op, ast.USub) else inner
        case ast.Name():
            return values[tree.id]
        case ast.Constant():
            return tree.value
