"""Reading and writing a whole SDXL as one safetensors file, tensor by tensor, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.model.extras import is_extra, is_extra_of, unread
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.names import PARTS, PREFIXES, Place, folder_place, vae_file_place

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from hakubooru_trainer.model.weights import Weights


class Marks(NamedTuple):
    """What a checkpoint says of itself."""

    v: bool
    """It predicts v, not the noise."""
    zero_terminal_snr: bool
    """Its noise schedule ends in pure noise."""


def open_file(path: Path) -> Any:
    """A safetensors file, open for reading; for use in a `with` statement.

    Raises:
        ModelError: it is not there, or of another format.
    """
    read_header(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}); fetch it again") from error


def read_part(
    weights: Weights,
    part: str,
    shapes: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
    *,
    folder: bool = False,
) -> dict[str, torch.Tensor]:
    """The tensors of one part of a model, under diffusers' names.

    Args:
        weights: of a single file; or of a part's own folder.
        part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        shapes: what the part has to hold, by diffusers' names: its state on the meta device.
        dtype: what they are given in.
        folder: whether the names are those of diffusers' layout.

    Raises:
        ModelError: a tensor is missing, of another shape, or not finite; or there is one more that nothing reads.
    """
    tensors = {}
    for name, like in shapes.items():
        place = folder_place(name, weights.names) if folder else _place(part, name, weights.names)
        if place.key not in weights.names:
            raise ModelError(
                f"{weights.path} has no tensor {place.key}, which the {part} of SDXL needs: "
                "it is another kind of model, or only a part of one"
            )
        tensor = _oriented(weights.take(place.key, dtype), place)
        if tensor.numel() != like.numel() or tensor.shape[0] != like.shape[0]:
            raise ModelError(
                f"{weights.path}: {place.key} is of shape {tuple(tensor.shape)} where {tuple(like.shape)} is needed; "
                "for a model that is not of SDXL's size name the folder of its configuration, model.config"
            )
        tensors[name] = tensor.reshape(like.shape)
    prefix = "" if folder else PREFIXES[part]
    if part == "vae" and not any(name.startswith(prefix) for name in weights.names):
        prefix = ""  # a VAE by itself
    for name in weights.unused(prefix):
        if not (is_extra(name) if prefix else is_extra_of(part, name)):
            raise unread(weights.path, name)
    return tensors


def write_single(
    path: Path, parts: Mapping[str, Mapping[str, torch.Tensor]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write the parts of a model as one file, which appears whole or not at all.

    Args:
        path: of the file.
        parts: by the names of their folders, the tensors under diffusers' names.
        metadata: of the safetensors header.
    """
    tensors: dict[str, torch.Tensor] = {}
    thirds: dict[str, dict[int, torch.Tensor]] = {}
    for part, state in parts.items():
        for name, tensor in state.items():
            place = PARTS[part](name)
            if place.third is not None:
                thirds.setdefault(place.key, {})[place.third] = tensor
            elif place.transposed:
                tensors[place.key] = tensor.T.contiguous()
            else:
                tensors[place.key] = tensor[..., None, None] if place.convolution else tensor
    for key, rows in thirds.items():
        tensors[key] = torch.cat([rows[third] for third in range(3)])
    with replacing(path) as beside:
        held = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(held, beside, dict(metadata) if metadata else None)


def marks(path: Path) -> Marks:
    """What a single file says of itself: whether it predicts v, and whether its schedule ends in pure noise.

    By the empty tensors `v_pred` and `ztsnr` that NoobAI's checkpoints carry and ComfyUI looks for, or modelspec's
    `prediction_type`.
    """
    names, metadata = read_header(path)
    said = metadata.get("modelspec.prediction_type", "")
    return Marks(v="v_pred" in names or said in {"v", "v_prediction"}, zero_terminal_snr="ztsnr" in names)


def _place(part: str, name: str, names: Collection[str]) -> Place:
    if part == "vae":
        return vae_file_place(name, names)
    place = PARTS[part](name)
    if place.transposed and f"{place.key}.weight" in names:  # as ComfyUI writes it
        return Place(f"{place.key}.weight")
    return place


def _oriented(tensor: torch.Tensor, place: Place) -> torch.Tensor:
    if place.third is not None:
        return tensor.chunk(3)[place.third]
    return tensor.T if place.transposed else tensor
