"""Reading and writing a whole SDXL as one safetensors file, tensor by tensor, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.model.names import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hakubooru_trainer.model.names import Place


class Marks(NamedTuple):
    """What a checkpoint says of itself."""

    v: bool
    """It predicts v, not the noise."""
    zero_terminal_snr: bool
    """Its noise schedule ends in pure noise."""


def open_file(path: Path) -> Any:
    """A safetensors file, open for reading; for use in a `with` statement.

    Raises:
        ModelError: it is not there, or none.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; name a checkpoint file or a diffusers folder")
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path} is no .safetensors file; a checkpoint in another format (.ckpt) may run code when it is opened: convert it first"
        )
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}); fetch it again") from error


def read_part(path: Path, part: str, shapes: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of one part of a model, under diffusers' names.

    Args:
        path: a single-file checkpoint.
        part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        shapes: what the part has to hold, by diffusers' names: its state on the meta device.

    Raises:
        ModelError: a tensor is missing or of another shape: the file is no SDXL, or one of another configuration.
    """
    tensors = {}
    with open_file(path) as file:
        known = set(file.keys())
        for name, like in shapes.items():
            place = PARTS[part](name)
            if place.key not in known:
                raise ModelError(
                    f"{path} has no tensor {place.key}, which the {part} of SDXL needs: "
                    "it is another kind of model, or only a part of one"
                )
            found = _taken(file.get_tensor(place.key), place)
            if found.numel() != like.numel() or found.shape[0] != like.shape[0]:
                raise ModelError(
                    f"{path}: {place.key} is of shape {tuple(found.shape)} where {tuple(like.shape)} is needed; "
                    "for a model that is not of SDXL's size name the folder of its configuration, model.config"
                )
            tensors[name] = found.reshape(like.shape)
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
    with open_file(path) as file:
        names, metadata = set(file.keys()), file.metadata() or {}
    said = metadata.get("modelspec.prediction_type", "")
    return Marks(v="v_pred" in names or said in {"v", "v_prediction"}, zero_terminal_snr="ztsnr" in names)


def _taken(tensor: torch.Tensor, place: Place) -> torch.Tensor:
    if place.third is not None:
        return tensor.chunk(3)[place.third]
    return tensor.T if place.transposed else tensor
