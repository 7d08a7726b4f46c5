"""Loading SDXL, offline: a diffusers folder, or a single file with the configuration that ships with this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from hakubooru.errors import ModelError
from hakubooru.files import read_text
from hakubooru_trainer.model.extras import check_names
from hakubooru_trainer.model.folder import check_part, part_folder, weight_files
from hakubooru_trainer.model.single_file import Marks, marks, read_part
from hakubooru_trainer.model.tokenizer import ENCODERS, read_tokenizer, shipped_tokenizer
from hakubooru_trainer.model.weights import Weights

if TYPE_CHECKING:
    from hakubooru_trainer.config.options import ModelOptions

SHIPPED: Final = Path(__file__).parent / "sdxl"
"""SDXL's own configuration, in diffusers' layout, and the merges of CLIP's vocabulary."""

_CONFIG: Final = "config.json"

CLASSES: Final[dict[str, Any]] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
"""The parts of a model, by the names of their folders."""


@dataclass
class Sdxl:
    """A model and what belongs to it; every part frozen and in evaluation mode."""

    unet: Any
    vae: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    marks: Marks

    def to(self, device: torch.device) -> None:
        """Move all parts."""
        for part in (self.unet, self.vae, self.text_encoder, self.text_encoder_2):
            part.to(device)


def load(options: ModelOptions, dtype: torch.dtype, vae_dtype: torch.dtype = torch.float32) -> Sdxl:
    """A whole model on the CPU.

    Args:
        options: where it lies.
        dtype: of the UNet and the text encoders.
        vae_dtype: of the VAE, whose own activations overflow in fp16.

    Raises:
        ModelError: a file is missing, is no SDXL, or holds what nothing reads; the message names it.
    """
    path = Path(options.path)
    if not path.is_dir():
        check_names(path)
    parts = {}
    for part in CLASSES:
        wanted = vae_dtype if part == "vae" else dtype
        if part == "vae" and options.vae:
            parts[part] = load_part(Path(options.vae), part, options, wanted)
        else:
            parts[part] = load_part(path, part, options, wanted)
    return Sdxl(
        **parts,
        tokenizer=load_tokenizer(options, "tokenizer"),
        tokenizer_2=load_tokenizer(options, "tokenizer_2"),
        marks=read_marks(path),
    )


def load_part(path: Path, part: str, options: ModelOptions, dtype: torch.dtype) -> Any:
    """One part of a model on the CPU, frozen.

    Raises:
        ModelError: a file is missing, holds another kind of model, is quantised in a way that cannot be undone, is not
            finite, or holds a tensor that nothing reads.
    """
    if is_folder := path.is_dir():
        check_part(path, part)
    folder = part_folder(path, part)
    config_file = folder / _CONFIG if is_folder else config_folder(options) / part / _CONFIG
    model = _empty(part, config_file)
    with Weights(*(weight_files(folder, part) if is_folder else [path])) as weights:
        tensors = read_part(weights, part, model.state_dict(), dtype, folder=is_folder)
    model.load_state_dict(tensors, assign=True)
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:  # position ids, which no file holds
            owner = model.get_submodule(name.rpartition(".")[0])
            owner.register_buffer("position_ids", torch.arange(buffer.shape[-1])[None], persistent=False)
    return model.requires_grad_(requires_grad=False).eval()


def skeleton(part: str, options: ModelOptions) -> Any:
    """One part of a model on the meta device: shapes and names, no memory."""
    return _empty(part, config_folder(options) / part / _CONFIG)


def config_folder(options: ModelOptions) -> Path:
    """The diffusers folder that the model's configuration is read from."""
    path = Path(options.path)
    if path.is_dir():
        return path
    return Path(options.config) if options.config else SHIPPED


def load_tokenizer(options: ModelOptions, name: str) -> Any:
    """`tokenizer` or `tokenizer_2`, from the folder named for them, else the model's own, else as it ships with this package.

    Raises:
        ModelError: the folder has none, or one with more tokens than the encoder knows.
    """
    configuration = config_folder(options)
    place = (Path(options.tokenizers) if options.tokenizers else configuration) / name
    if any((place / file).is_file() for file in ("vocab.json", "tokenizer.json")):
        tokenizer = read_tokenizer(place, name)
    elif options.tokenizers:
        raise ModelError(
            f"{place} has no tokenizer; set model.tokenizers to a folder with tokenizer/ and tokenizer_2/, "
            "or leave it away: SDXL's own come with hakubooru"
        )
    else:
        tokenizer = shipped_tokenizer(SHIPPED / "tokenizer", name)
    known = _config(configuration / ENCODERS[name] / _CONFIG)["vocab_size"]
    if len(tokenizer) > known:
        raise ModelError(
            f"{place} has {len(tokenizer):,} tokens and the model's {ENCODERS[name]} knows {known:,}; "
            "set model.tokenizers to the folder of the model's own, with tokenizer/ and tokenizer_2/"
        )
    return tokenizer


def read_marks(path: Path) -> Marks:
    """What a checkpoint says of its prediction and its schedule; nothing said is epsilon with the usual end."""
    if not path.is_dir():
        return marks(path)
    scheduler = _config(
        (path if (path / "scheduler").is_dir() else SHIPPED) / "scheduler" / "scheduler_config.json"
    )
    return Marks(
        v=scheduler.get("prediction_type") == "v_prediction",
        zero_terminal_snr=bool(scheduler.get("rescale_betas_zero_snr")),
    )


def _empty(part: str, file: Path) -> Any:
    """A part as its configuration describes it, on the meta device."""
    config = _config(file)
    config.pop("quantization_config", None)  # weights are restored as they are read
    try:
        with torch.device("meta"):
            if part.startswith("text"):
                return CLASSES[part](CLIPTextConfig.from_dict(config))
            return CLASSES[part].from_config(config)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"{file} does not describe the {part} of an SDXL: {error}") from error


def _config(file: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(read_text(file))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read; a model's configuration is a folder in diffusers' layout"
        ) from error
    return config
