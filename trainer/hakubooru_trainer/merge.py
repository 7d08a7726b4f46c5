"""Merging adapters into models and models with one another: a piece at a time, in fp32, never a whole model in memory."""

from __future__ import annotations

import ast
import operator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import InputError, ModelError
from hakubooru.nearest import nearest
from hakubooru_trainer.config.options import ModelOptions
from hakubooru_trainer.lokr import file as adapter_file
from hakubooru_trainer.lokr.layers import by_layer, changed, check_fits, check_known
from hakubooru_trainer.model.extras import MARKS, is_extra
from hakubooru_trainer.model.finite import is_finite
from hakubooru_trainer.model.names import PREFIXES, TEXT_2_LAYERS
from hakubooru_trainer.model.single_file import marks
from hakubooru_trainer.model.stream import Held, Reader, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.lokr.layers import Layer

_OPERATIONS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_TEXT_1: Final = "conditioner.embedders.0.transformer."
_TEXT_2: Final = "conditioner.embedders.1.model.transformer.resblocks."
_PROJECTION: Final = "conditioner.embedders.1.model.text_projection"
"""A bare matrix, transposed; ComfyUI writes it as the weight of a linear layer."""
_HASHES: Final = ("sshs_", "modelspec.hash")
_TEXT_2_LAYERS: Final = {theirs: ours.replace(".", "_") for ours, theirs in TEXT_2_LAYERS.items()}
"""Names of layers in OpenCLIP's layout, with their names in adapters."""


def merge(base: Path, lokr: Path, out: Path, *, scale: float = 1.0, dtype: torch.dtype | None = None) -> int:
    """Write a single-file checkpoint with an adapter merged into its weights, and return how many layers were changed.

    If the run that trained the adapter was set to what the base predicts, the checkpoint gets the marks that say it.

    Args:
        base: a single-file checkpoint.
        lokr: the adapter's file.
        out: the new checkpoint.
        scale: the share of the adapter's change.
        dtype: the precision of the new weights; None keeps that of each weight in the base.

    Raises:
        InputError: `out` is the base or the adapter.
        ModelError: the adapter has layers that the checkpoint does not have, or is not a LoKr of full matrices.
    """
    _check_new(out, (base, lokr))
    layers = by_layer(adapter_file.read(lokr), str(lokr))
    with Reader(base) as opened:
        places = {key: _adapter_names(key) for key in opened.tensors}
        _check_adapter(layers, places, opened, lokr)
        outputs = _cast_to(opened.tensors, dtype)
        outputs, empty, about = _marked(outputs, base, lokr)

        def pieces() -> Iterator[Tensor]:
            for key, (kind, _) in outputs.items():
                names = places[key]
                if not any(_changes(layers.get(name, {}), key) for name in names):
                    for piece in opened.pieces(key):
                        yield _finite(piece.to(kind), key, (piece, base))
                    continue
                for row, name in zip(opened.tensor(key).chunk(len(names)), names, strict=True):
                    changed_row = _changed(row, layers.get(name, {}), key, scale)
                    yield _finite(changed_row.to(kind), key, (row, base))

        write(
            out,
            outputs | empty,
            pieces(),
            _without_hashes(opened.metadata) | about | {"hakubooru_merged": f"{scale} * {lokr.name}"},
        )
    return len(layers)


def combine(formula: str, models: Mapping[str, Path], out: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write what a formula makes of models, such as `beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)`.

    Everything is computed in fp32. Tensors that are not weights, such as the numbers of positions, are copied from the
    formula's first model.

    Args:
        formula: names of models, numbers, + - * / and brackets.
        models: the file of each name; all files have the same tensors.
        out: the new file.
        dtype: the precision of the new weights; None keeps that of each weight in the formula's first model.

    Raises:
        InputError: the formula cannot be read, or names a model that `models` lacks; or `out` is one of the models.
        ModelError: a file cannot be read or lacks tensors of the first, or the result is not finite.
    """
    tree = _parsed(formula)
    first, *others = used = _named(formula, tree, models)
    _check_new(out, (models[name] for name in used))
    with ExitStack() as stack:
        opened = {name: stack.enter_context(Reader(models[name])) for name in used}
        like = opened[first]
        for name in others:
            _check_same(like, opened[name])
        outputs = _cast_to(like.tensors, dtype)

        def pieces() -> Iterator[Tensor]:
            for key, (kind, _) in outputs.items():
                if not kind.is_floating_point or is_extra(key):
                    yield from (piece.to(kind) for piece in like.pieces(key))
                    continue
                read = zip(*(model.pieces(key) for model in opened.values()), strict=True)
                for some in read:
                    values = {name: value.float() for name, value in zip(opened, some, strict=True)}
                    sources = ((values[name], models[name]) for name in opened)
                    yield _finite(_value(tree, values).to(kind), key, *sources)

        write(out, outputs, pieces(), _without_hashes(like.metadata) | {"hakubooru_formula": formula})


def _named(formula: str, tree: ast.expr, models: Mapping[str, Path]) -> list[str]:
    """The names of models in a formula, in its order; `models` has to have exactly these."""
    if not (used := _names(tree)):
        raise InputError(f"the formula {formula!r} names no model; write one such as 0.5*a + 0.5*b")
    for name in used:
        if name not in models:
            raise InputError(f"the formula names {name!r}, but its file is missing; add --model {name}=FILE")
    for name in models:
        if name not in used:
            raise InputError(
                f"--model {name}: the formula {formula!r} has no such name; {nearest(name, used)}"
            )
    return used


def _cast_to(tensors: Mapping[str, Held], dtype: torch.dtype | None) -> dict[str, Held]:
    """The types and shapes of tensors, with weights in another precision; None changes nothing."""
    return {
        key: tensor._replace(dtype=dtype) if dtype and tensor.dtype.is_floating_point else tensor
        for key, tensor in tensors.items()
    }


def _finite(result: Tensor, key: str, *sources: tuple[Tensor, Path]) -> Tensor:
    """Return a result that is finite.

    Args:
        result: the computed tensor.
        key: its name.
        sources: the tensors it was computed from, with their files.

    Raises:
        ModelError: the result, or a source, holds NaN or infinity.
    """
    if not is_finite(result):
        for source, path in sources:
            if not is_finite(source):
                raise ModelError(
                    f"{path}: {key} holds NaN or infinity; the checkpoint is broken: download it again"
                )
        raise ModelError(
            f"{key} would hold a number that is not finite: the formula divides by 0, or the number is too large for {result.dtype}"
        )
    return result


def _check_new(out: Path, sources: Iterable[Path]) -> None:
    """Check that an output takes the place of no source: a checkpoint may be the only one of its kind."""
    if any(out.exists() and source.exists() and out.samefile(source) for source in sources):
        raise InputError(f"--out {out} is one of the files that are read; name a new file")


def _without_hashes(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a file that stays true for a new file made from it: all but the hashes."""
    return {key: value for key, value in metadata.items() if not key.startswith(_HASHES)}


def _marked(
    outputs: dict[str, Held], base: Path, lokr: Path
) -> tuple[dict[str, Held], dict[str, Held], dict[str, str]]:
    """The outputs without marks, the marks and the metadata of a checkpoint whose adapter says more of it than the base."""
    before = marks(base)
    now = before.unless(adapter_file.options_of_run(lokr, ModelOptions(path=str(base))))
    if now == before:
        return outputs, {}, {}
    names = [name for name, has_it in zip(("v_pred", "ztsnr"), now, strict=True) if has_it]
    return (
        {key: tensor for key, tensor in outputs.items() if key not in MARKS},
        {name: Held(torch.float32, [0]) for name in names},
        {"modelspec.prediction_type": "v" if now.v else "epsilon"},
    )


def _adapter_names(key: str) -> list[str]:
    """The names that adapters have for a tensor of a checkpoint; three if it holds q, k and v."""
    module = key.rpartition(".")[0]
    if key.startswith(PREFIXES["unet"]):
        return [f"lora_unet_{module.removeprefix(PREFIXES['unet']).replace('.', '_')}"]
    if key.startswith(_TEXT_1):
        return [f"lora_te1_{module.removeprefix(_TEXT_1).replace('.', '_')}"]
    if key in {_PROJECTION, f"{_PROJECTION}.weight"}:
        return ["lora_te2_text_projection"]
    if not key.startswith(_TEXT_2):
        return []
    layer, _, inner = key.removeprefix(_TEXT_2).partition(".")
    prefix = f"lora_te2_text_model_encoder_layers_{layer}"
    if inner == "attn.in_proj_weight":
        return [f"{prefix}_self_attn_{which}_proj" for which in "qkv"]
    name = _TEXT_2_LAYERS.get(inner.rpartition(".")[0])
    return [f"{prefix}_{name}"] if name else []


def _check_adapter(
    layers: Mapping[str, Layer], places: Mapping[str, list[str]], base: Reader, lokr: Path
) -> None:
    """Refuse an adapter with a tensor that would not be used, before anything is written."""
    weights: dict[str, list[int]] = {}
    biases: dict[str, list[int]] = {}
    for key, names in places.items():
        shape = base.tensors[key].shape or [1]
        rows, *rest = shape[::-1] if key == _PROJECTION else shape
        shapes = biases if key.endswith(".bias") else weights
        for name in names:
            shapes[name] = [rows // len(names), *rest]
    check_known(layers, weights, str(lokr), str(base.path))
    for name, tensors in layers.items():
        check_fits(name, tensors, weights[name], biases.get(name), str(lokr))


def _changes(layer: Layer, key: str) -> bool:
    """Whether a layer of an adapter changes a tensor of the checkpoint: its weight, or its bias."""
    return bool(layer.keys() & ({"b_norm"} if key.endswith(".bias") else {"w_norm", "lokr_w1"}))


def _changed(row: Tensor, layer: Layer, key: str, scale: float) -> Tensor:
    """A tensor of the checkpoint, or a third of it, with the change of an adapter's layer."""
    if not _changes(layer, key):
        return row
    if key == _PROJECTION:
        return _changed(row.T, layer, f"{key}.weight", scale).T
    if "lokr_w1" in layer:
        return changed(row, layer, scale)
    return row.float() + scale * layer["b_norm" if key.endswith(".bias") else "w_norm"].float()


def _check_same(one: Reader, other: Reader) -> None:
    for key in sorted(one.tensors.keys() ^ other.tensors.keys()):
        if not is_extra(key):
            raise ModelError(
                f"only one of {one.path} and {other.path} has the tensor {key}; they are models of different kinds: combine models of one kind"
            )
    for key in sorted(one.tensors.keys() & other.tensors.keys()):
        shape, other_shape = one.tensors[key].shape, other.tensors[key].shape
        if shape != other_shape:
            raise ModelError(
                f"{key} is of shape {shape} in {one.path} and {other_shape} in {other.path}; combine models of one kind"
            )


def _parsed(formula: str) -> ast.expr:
    try:
        tree = ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise InputError(
            f"the formula {formula!r} cannot be read at character {error.offset}: {error.msg}"
        ) from error
    for node in _nodes(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in {int, float}
        if not number and not isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Name)):
            raise InputError(
                f"the formula {formula!r} has {ast.unparse(node)!r}; write only names of models, numbers, + - * / and brackets"
            )
    try:
        _value(tree, dict.fromkeys(_names(tree), torch.ones(())))
    except ArithmeticError as error:
        raise InputError(f"the formula {formula!r} cannot be computed: {error}") from error
    return tree


def _names(tree: ast.expr) -> list[str]:
    """The names in a formula, in its order, each once."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return list(
        dict.fromkeys(node.id for node in sorted(names, key=lambda node: (node.lineno, node.col_offset)))
    )


def _nodes(tree: ast.expr) -> Iterator[ast.expr]:
    """All parts of a formula. A part that is not arithmetic comes whole."""
    yield tree
    match tree:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            yield from (*_nodes(left), *_nodes(right))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            yield from _nodes(inner)
        case ast.BinOp() | ast.UnaryOp():
            raise InputError(f"the formula has {ast.unparse(tree)!r}; write only + - * / and brackets")


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
