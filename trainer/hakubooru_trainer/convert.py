"""Converting an adapter for other programs: a LoKr to a plain LoRA, and a LoRA to other names and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from safetensors.torch import save_file

from hakubooru.errors import InputError, ModelError
from hakubooru.files import replacing
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.layers import by_layer, check_fits, check_known
from hakubooru_trainer.lokr.lora import nearest_lora, peft_config, read_lora, write_lora
from hakubooru_trainer.lokr.preset import layer_names, layers
from hakubooru_trainer.model.load import skeleton
from hakubooru_trainer.model.single_file import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    import torch
    from torch import Tensor

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.lokr.lora import Lora

FORMS: Final = ("lora", "diffusers", "peft")
"""The names that a LoRA can get."""
PEFT_FILE: Final = "adapter_model.safetensors"
_PARTS: Final = ("unet", "text_encoder", "text_encoder_2")


class Converted(NamedTuple):
    """What became of an adapter."""

    layers: int
    rank: int
    """The largest rank of a layer."""
    error: float
    """The Frobenius norm of the change that is lost, as a share of the whole change's; 0 if only names change."""
    worst: tuple[str, float]
    """The layer with the largest such share."""
    norms: int
    """How many norms were left out, which a LoRA cannot change."""

    def __str__(self) -> str:
        text = f"{self.layers} layers of rank {self.rank} or less"
        if not self.worst[0]:
            return f"{text}, only names changed"
        left_out = f"; {self.norms} norms are left out, which a LoRA cannot change" if self.norms else ""
        return (
            f"{text}; {self.error:.2%} of the change is lost (Frobenius norm), the most in {self.worst[0]}: {self.worst[1]:.2%}"
            + left_out
        )


def convert(
    source: Path,
    out: Path,
    model: ModelOptions,
    *,
    to: str,
    rank: int | None = None,
    dtype: torch.dtype | None = None,
) -> Converted:
    """Convert an adapter.

    Args:
        source: a LoKr, or a LoRA with SGM's or diffusers' names, or a folder of PEFT's.
        out: the new file, or the new folder for `peft`.
        model: where the configuration of the model lies.
        to: `lora` for SGM's names, `diffusers` or `peft`.
        rank: the rank that a LoKr gets.
        dtype: the precision of the new file; None keeps that of the source.

    Raises:
        InputError: a LoKr needs a rank, and a LoRA has its own.
        ModelError: the source cannot be read, or was made for another model.
    """
    where, tensors = str(source), _read(source)
    parts = {part: skeleton(part, model) for part in _PARTS}
    names = layer_names(parts)
    loras = read_lora(tensors, names, where)
    if loras:
        if rank is not None:
            raise InputError(f"{source} is a LoRA of its own rank; leave --rank out")
        result = Converted(len(loras), max(lora.rank for lora in loras.values()), 0.0, ("", 0.0), 0)
    else:
        if rank is None:
            raise InputError(f"{source} is a LoKr; give the rank of the LoRA, such as --rank 64")
        loras, result = _decomposed(tensors, layers(parts), rank, where)
    dtypes = [tensor.dtype for tensor in tensors.values() if tensor.dim()]
    _write(write_lora(loras, names, to, dtype or dtypes[0]), out, to, loras, names)
    return result


def _decomposed(
    tensors: Mapping[str, Tensor], in_model: Mapping[str, tuple[str, Any]], rank: int, where: str
) -> tuple[dict[str, Lora], Converted]:
    """The LoRA nearest to a LoKr, and how much of the change is lost."""
    changes = by_layer(tensors, where)
    check_known(changes, in_model, where, "the model")
    loras, shares, norms = {}, {}, 0
    lost = whole = 0.0
    for name, layer in changes.items():
        module = in_model[name][1]
        bias = getattr(module, "bias", None)
        check_fits(name, layer, module.weight.shape, None if bias is None else bias.shape, where)
        if "dora_scale" in layer:
            raise ModelError(
                f"{where}: {name}.dora_scale decomposes the weight, which a LoRA cannot; merge the adapter instead"
            )
        if "lokr_w1" not in layer:
            norms += 1
            continue
        near = nearest_lora(layer, rank)
        loras[name] = near.lora
        lost, whole = lost + near.lost, whole + near.whole
        shares[name] = (near.lost / near.whole) ** 0.5 if near.whole else 0.0
    if not loras:
        raise ModelError(f"{where} changes norms alone, which a LoRA cannot")
    worst = max(shares, key=shares.__getitem__)
    largest = max(lora.rank for lora in loras.values())
    error = (lost / whole) ** 0.5 if whole else 0.0
    return loras, Converted(len(loras), largest, error, (worst, shares[worst]), norms)


def _read(source: Path) -> dict[str, Tensor]:
    """The tensors of an adapter, those of PEFT's folder with the part of the model in front of their names."""
    if not source.is_dir():
        with open_file(source) as opened:
            names = list(opened.keys())
            is_lora = any(".lora_" in name for name in names)
            return {name: opened.get_tensor(name) for name in names} if is_lora else file.read(source)
    tensors: dict[str, Tensor] = {}
    for part in _PARTS:
        if (path := source / part / PEFT_FILE).is_file():
            with open_file(path) as opened:
                tensors |= {f"{part}.{name}": opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    if not tensors:
        raise ModelError(f"{source} has no unet/{PEFT_FILE}; name a file, or the folder of a PEFT adapter")
    return tensors


def _write(
    tensors: Mapping[str, Tensor],
    out: Path,
    to: str,
    loras: Mapping[str, Lora],
    names: Mapping[str, tuple[str, str]],
) -> None:
    if to != "peft":
        about = {"format": "pt", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}
        if to == "lora":
            about |= {"ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.lora"}
        with replacing(out) as beside:
            save_file(dict(tensors), beside, about)
        return
    for part in _PARTS:
        own = {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{part}.")
        }
        if own:
            folder = out / part
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "adapter_config.json").write_text(
                peft_config(loras, names, part), encoding="utf-8", newline="\n"
            )
            with replacing(folder / PEFT_FILE) as beside:
                save_file(own, beside, {"format": "pt"})
