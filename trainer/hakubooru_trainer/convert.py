"""Converting an adapter for other programs: a LoKr to a plain LoRA, and both between the names of programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import InputError, ModelError, OtherModelError
from hakubooru.files import new_folder
from hakubooru.quantity import quantity
from hakubooru_trainer.lokr import file, peft
from hakubooru_trainer.lokr.layers import NORM, check_known, check_size, fitting_layers
from hakubooru_trainer.lokr.lora import is_lora, lora_tensors, nearest_lora, read_lora
from hakubooru_trainer.lokr.preset import layer_names, layers
from hakubooru_trainer.model.load import skeleton
from hakubooru_trainer.model.single_file import open_file
from hakubooru_trainer.model.stream import Held, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.lokr.layers import Layer
    from hakubooru_trainer.lokr.lora import Lora

FORMS: Final = ("lora", "lokr", "diffusers", "peft")
"""What an adapter can become: a LoRA or a LoKr with SGM's names, a LoRA with diffusers' names, folders of PEFT."""
_FOR_SD_WEBUI: Final = {"ss_base_model_version": "sdxl_base_v1-0"}
"""Without it the sd-webui takes a file for one of SD 1."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What became of an adapter."""

    layers: int
    rank: int = 0
    """The largest rank of a LoRA's layer; 0 of a LoKr."""
    error: float = 0.0
    """The Frobenius norm of the change that is lost, as a share of the whole change's; 0 if only names change."""
    worst: tuple[str, float] = ("", 0.0)
    """The layer with the largest such share."""
    norms: int = 0
    """How many norms were left out."""
    rescaled: int = 0
    """In how many layers the scale was multiplied into a matrix, and rounded."""

    def __str__(self) -> str:
        """The report as text."""
        words = [
            f"{quantity(self.layers, 'layer')} of rank {self.rank} or less"
            if self.rank
            else f"{quantity(self.layers, 'layer')} of LoKr"
        ]
        if self.worst[0]:
            words.append(
                f"; {self.error:.2%} of the change is lost (Frobenius norm), the most in {self.worst[0]}: {self.worst[1]:.2%}"
            )
        else:
            words.append(", only names changed")
        if self.rescaled:
            words.append(f"; in {self.rescaled} the scale was multiplied into a matrix")
        if self.norms:
            words.append(
                f"; {quantity(self.norms, 'norm is', 'norms are')} left out, which {'a LoRA' if self.rank else 'PEFT'} cannot change"
            )
        return "".join(words)


@dataclass(frozen=True)
class _Model:
    """The layers that an adapter could change."""

    names: Mapping[str, tuple[str, str]]
    """Part and name there, by SGM's name."""
    modules: Mapping[str, tuple[str, Any]]


@dataclass(frozen=True)
class _Output:
    """What is written."""

    path: Path
    form: str
    """One of `FORMS`."""
    dtype: torch.dtype


def convert(
    source: Path,
    out: Path,
    model: ModelOptions,
    *,
    to: str,
    rank: int | None = None,
    dtype: torch.dtype | None = None,
) -> Converted:
    """Convert an adapter. The output appears whole or not at all.

    Args:
        source: a LoKr or LoRA with SGM's names, a LoRA with diffusers', or a folder of PEFT's adapters.
        out: the new file, or the new folder for `peft`.
        model: where the configuration of the model lies.
        to: one of `FORMS`.
        rank: the rank of the LoRA that a LoKr becomes; without it, a LoKr stays one.
        dtype: the precision of the new file; None keeps that of the source.

    Raises:
        InputError: a rank is missing or too much, or `out` is the source.
        ModelError: the source cannot be read, was made for another model, or cannot be expressed in that form.
    """
    if out.exists() and out.samefile(source):
        raise InputError(f"--out {out} is the adapter itself; name a new file")
    parts = {part: skeleton(part, model) for part in peft.PARTS}
    known = _Model(layer_names(parts), layers(parts))
    try:
        return _converted(source, out, known, to=to, rank=rank, dtype=dtype)
    except OtherModelError as error:
        size = f"the size in {model.config}" if model.config else "SDXL's size"
        raise OtherModelError(
            f"{error}: here it must have {size}; name a diffusers folder of its own model with --config"
        ) from error


def _converted(
    source: Path, out: Path, known: _Model, *, to: str, rank: int | None, dtype: torch.dtype | None
) -> Converted:
    """Convert an adapter for a model whose layers are known; arguments and errors are those of `convert`."""
    where = str(source)
    tensors = peft.sgm_named(_read(source), known.names, where)
    dtype = dtype or next(tensor.dtype for tensor in tensors.values() if tensor.dim())
    if dtype not in file.DTYPES.values():
        raise InputError(f"{where} is stored as {dtype}; choose another with --precision, such as fp16")
    file.check_finite(tensors, where)
    output = _Output(out, to, dtype)
    if is_lora(tensors):
        if rank is not None:
            raise InputError(f"{where} is a LoRA of its own rank; leave --rank out")
        if to == "lokr":
            raise InputError(
                f"{where} is a LoRA, which cannot become a LoKr; write --to lora, diffusers or peft"
            )
        loras = read_lora(tensors, where)
        _check_loras(loras, known, where)
        return _write_lora(loras, Converted(layers=len(loras), rank=_largest(loras)), output, known)
    changes = fitting_layers(
        tensors, known.modules, where, ", which no other form can; merge the adapter instead"
    )
    if rank is None:
        if to not in {"lokr", "peft"}:
            raise InputError(f"{where} is a LoKr; give the rank of the LoRA, such as --rank 64")
        return _write_lokr(changes, output, known, where)
    if to == "lokr":
        raise InputError(f"{where} is a LoKr, and --to lokr keeps it; leave --rank out, or write --to lora")
    loras, result = _decomposed(changes, rank, where)
    return _write_lora(loras, result, output, known)


def _check_loras(loras: Mapping[str, Lora], known: _Model, where: str) -> None:
    """Refuse a LoRA that does not fit the model.

    Raises:
        ModelError: it does not.
    """
    check_known(loras, known.modules, where, "the model")
    for name, lora in loras.items():
        change = [lora.up.shape[0], *lora.down.shape[1:]]
        check_size(f"{name}.lora_up · lora_down", change, known.modules[name][1].weight.shape, where)


def _decomposed(changes: Mapping[str, Layer], rank: int, where: str) -> tuple[dict[str, Lora], Converted]:
    """The LoRA nearest to a LoKr, and how much of the change is lost."""
    loras, shares = {}, {}
    lost = whole = 0.0
    for name, layer in _without_norms(changes, where).items():
        near = nearest_lora(layer, rank)
        loras[name] = near.lora
        lost, whole = lost + near.lost, whole + near.whole
        shares[name] = (near.lost / near.whole) ** 0.5 if near.whole else 0.0
    worst = max(shares, key=shares.__getitem__)
    return loras, Converted(
        layers=len(loras),
        rank=_largest(loras),
        error=(lost / whole) ** 0.5 if whole else 0.0,
        worst=(worst, shares[worst]),
        norms=len(changes) - len(loras),
    )


def _without_norms(changes: Mapping[str, Layer], where: str) -> dict[str, Layer]:
    """The layers that are not norms.

    Raises:
        ModelError: there are none.
    """
    rest = {name: layer for name, layer in changes.items() if not layer.keys() & NORM}
    if not rest:
        raise ModelError(f"{where} changes norms alone, which only a LoKr with SGM's names can: --to lokr")
    return rest


def _largest(loras: Mapping[str, Lora]) -> int:
    return max(lora.rank for lora in loras.values())


def _read(source: Path) -> dict[str, Tensor]:
    """The tensors of an adapter, by the names of its program."""
    if source.is_dir():
        return peft.read_folder(source)
    with open_file(source) as opened:
        names = list(opened.keys())
        if not any(".lora" in name for name in names):
            return file.read(source)
        tensors = {name: opened.get_tensor(name) for name in names}
        return peft.with_scales(tensors, peft.diffusers_configs(opened.metadata() or {}), str(source))


def _write_lora(loras: Mapping[str, Lora], result: Converted, output: _Output, known: _Model) -> Converted:
    if output.form == "peft":
        _write_folders(peft.lora_folders(loras, known.names), output)
        return result
    about = {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}
    if output.form == "diffusers":
        _write(output.path, peft.lora_in_one(loras, known.names), about, output.dtype)
        return replace(result, rescaled=sum(lora.scale != 1 for lora in loras.values()))
    about |= _FOR_SD_WEBUI | {"ss_network_module": "networks.lora"}
    _write(output.path, lora_tensors(loras), about, output.dtype)
    return result


def _write_lokr(changes: Mapping[str, Layer], output: _Output, known: _Model, where: str) -> Converted:
    if output.form == "peft":
        some = _without_norms(changes, where)
        _write_folders(peft.lokr_folders(some, known.modules, known.names), output)
        return Converted(layers=len(some), norms=len(changes) - len(some))
    tensors = {f"{layer}.{name}": tensor for layer, some in changes.items() for name, tensor in some.items()}
    tensors |= {
        f"{layer}.alpha": torch.tensor(1.0) for layer, some in changes.items() if not some.keys() & NORM
    }
    about = _FOR_SD_WEBUI | {
        "ss_network_module": "lycoris.kohya",
        "ss_network_args": json.dumps({"algo": "lokr", "full_matrix": True}),
    }
    _write(output.path, tensors, about, output.dtype)
    return Converted(layers=len(changes))


def _write_folders(folders: Iterable[peft.Folder], output: _Output) -> None:
    """Write adapters of PEFT into a new folder, which appears whole or not at all."""
    with new_folder(output.path) as beside:
        for place, config, tensors in folders:
            (beside / place).mkdir(parents=True)
            text = json.dumps(config, indent=1) + "\n"
            (beside / place / peft.CONFIG).write_text(text, encoding="utf-8", newline="\n")
            _write(beside / place / peft.WEIGHTS, tensors, {}, output.dtype)


def _write(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype
) -> None:
    """Write a safetensors file in a precision; it appears whole or not at all."""
    cast = {name: _cast(name, tensor, dtype) for name, tensor in tensors.items()}
    # The widest numbers first, so that all are aligned.
    cast = dict(sorted(cast.items(), key=lambda item: -item[1].dtype.itemsize))
    header = {name: Held(tensor.dtype, list(tensor.shape)) for name, tensor in cast.items()}
    write(path, header, iter(cast.values()), {"format": "pt", **metadata})


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    cast = tensor.to(dtype)
    # bf16 has no 257, and an alpha that is not the rank scales the change.
    return tensor.float() if name.endswith(".alpha") and cast.double() != tensor.double() else cast
