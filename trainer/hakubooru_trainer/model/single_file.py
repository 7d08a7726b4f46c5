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

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.model.weights import Weights


class Marks(NamedTuple):
    """What a checkpoint says of itself."""

    v: bool
    """Whether it predicts v, not the noise."""
    zero_terminal_snr: bool
    """Whether its noise schedule ends in pure noise."""

    def __str__(self) -> str:
        return f"{'v' if self.v else 'epsilon'}, of a schedule that {'ends' if self.zero_terminal_snr else 'does not end'} in pure noise"

    def unless(self, options: ModelOptions) -> Marks:
        """What the options say of the model; where they say `auto`, what the checkpoint says."""
        return Marks(
            v={"auto": self.v, "v": True, "epsilon": False}[options.prediction],
            zero_terminal_snr={"auto": self.zero_terminal_snr, "yes": True, "no": False}[
                options.zero_terminal_snr
            ],
        )


def open_file(path: Path) -> Any:
    """Open a safetensors file for reading, in a `with` statement.

    Raises:
        ModelError: the file is missing, or has another format.
    """
    read_header(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}); download it again") from error


def read_part(
    weights: Weights,
    part: str,
    shapes: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
    *,
    folder: bool = False,
) -> dict[str, torch.Tensor]:
    """Read the tensors of one part of a model, under diffusers' names.

    Args:
        weights: the tensors of a single file, or of a part's own folder.
        part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        shapes: what the part must hold, by diffusers' names: its state on the meta device.
        dtype: the precision of the result.
        folder: whether the names are those of diffusers' layout.

    Raises:
        ModelError: a tensor is missing, has another shape or is not finite; or there is a tensor that nothing reads.
    """
    tensors = {}
    for name, like in shapes.items():
        place = folder_place(name, weights.names) if folder else _place(part, name, weights.names)
        if place.key not in weights.names:
            raise ModelError(
                f"{weights.path} has no tensor {place.key}, which the {part} of SDXL needs; "
                "it is another kind of model, or only a part of one: name a whole SDXL checkpoint"
            )
        tensor = _oriented(weights.take(place.key, dtype), place)
        if tensor.numel() != like.numel() or tensor.shape[0] != like.shape[0]:
            raise ModelError(
                f"{weights.path}: {place.key} is of shape {tuple(tensor.shape)} where {tuple(like.shape)} is needed; "
                "for a model that is not of SDXL's size set model.config to the folder of its configuration"
            )
        tensors[name] = tensor.reshape(like.shape)
    prefix = "" if folder else PREFIXES[part]
    if part == "vae" and not any(name.startswith(prefix) for name in weights.names):
        prefix = ""  # a VAE by itself
    for name in weights.unused(prefix):
        if not (is_extra(name) if prefix else is_extra_of(part, name)):
            raise unread(weights.path, name)
    return tensors


def write_single(path: Path, parts: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Write the parts of a model as one file, which appears whole or not at all.

    Args:
        path: the file.
        parts: the tensors of each part under diffusers' names, by the name of the part's folder.
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
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, beside)


def marks(path: Path) -> Marks:
    """Read whether a single file's model predicts v, and whether its schedule ends in pure noise.

    The file says so by the empty tensors `v_pred` and `ztsnr`, which NoobAI's checkpoints have and ComfyUI looks for, or by
    modelspec's `prediction_type`.
    """
    names, metadata = read_header(path)
    prediction = metadata.get("modelspec.prediction_type", "")
    return Marks(
        v="v_pred" in names or prediction in {"v", "v_prediction"}, zero_terminal_snr="ztsnr" in names
    )


def _place(part: str, name: str, names: Collection[str]) -> Place:
    if part == "vae":
        return vae_file_place(name, names)
    place = PARTS[part](name)
    if place.transposed and f"{place.key}.weight" in names:  # ComfyUI writes it so
        return Place(f"{place.key}.weight")
    return place


def _oriented(tensor: torch.Tensor, place: Place) -> torch.Tensor:
    if place.third is not None:
        return tensor.chunk(3)[place.third]
    return tensor.T if place.transposed else tensor
