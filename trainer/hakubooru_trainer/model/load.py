"""Loading SDXL without network: from a diffusers folder, or from a single file with the configuration of this package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.overrides import TorchFunctionMode
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
"""The folder with SDXL's own configuration, in diffusers' layout, and the merges of CLIP's vocabulary."""

_CONFIG: Final = "config.json"

CLASSES: Final[dict[str, Any]] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
"""The class of each part of a model, by the name of its folder."""


@dataclass
class Sdxl:
    """A model with its tokenizers; every part is frozen and in evaluation mode."""

    unet: Any
    vae: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    marks: Marks

    def to(self, device: torch.device) -> None:
        """Move all parts to a device."""
        for part in (self.unet, self.vae, self.text_encoder, self.text_encoder_2):
            part.to(device)


def load(options: ModelOptions, dtype: torch.dtype, vae_dtype: torch.dtype = torch.float32) -> Sdxl:
    """Load a whole model on the CPU.

    Args:
        options: where the model lies.
        dtype: the precision of the UNet and the text encoders.
        vae_dtype: the precision of the VAE. The activations of SDXL's own VAE overflow in fp16.

    Raises:
        ModelError: a file is missing, is not an SDXL, or has a tensor that nothing reads; the message names it.
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
    """Load one part of a model on the CPU, frozen.

    Args:
        path: a diffusers folder or a single file.
        part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        options: where the configuration lies.
        dtype: the precision of the part.

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
        if buffer.is_meta:  # position ids, which are in no file
            owner = model.get_submodule(name.rpartition(".")[0])
            owner.register_buffer("position_ids", torch.arange(buffer.shape[-1])[None], persistent=False)
    return model.requires_grad_(requires_grad=False).eval()


def skeleton(part: str, options: ModelOptions) -> Any:
    """One part of a model on the meta device: names and shapes, without memory."""
    return _empty(part, config_folder(options) / part / _CONFIG)


def config_folder(options: ModelOptions) -> Path:
    """The diffusers folder with the model's configuration."""
    path = Path(options.path)
    if path.is_dir():
        return path
    return Path(options.config) if options.config else SHIPPED


def load_tokenizer(options: ModelOptions, name: str) -> Any:
    """Load `tokenizer` or `tokenizer_2`: from model.tokenizers, or else from the model's folder, or else from this package.

    Raises:
        ModelError: model.tokenizers has none, or the tokenizer has more tokens than the encoder.
    """
    configuration = config_folder(options)
    place = (Path(options.tokenizers) if options.tokenizers else configuration) / name
    if any((place / file).is_file() for file in ("vocab.json", "tokenizer.json")):
        tokenizer = read_tokenizer(place, name)
    elif options.tokenizers:
        raise ModelError(
            f"{place} has no tokenizer; set model.tokenizers to a folder with tokenizer/ and tokenizer_2/, "
            "or remove it: SDXL's own tokenizers come with hakubooru"
        )
    else:
        tokenizer = shipped_tokenizer(SHIPPED / "tokenizer", name)
    size = _config(configuration / ENCODERS[name] / _CONFIG)["vocab_size"]
    if len(tokenizer) > size:
        raise ModelError(
            f"{place} has {len(tokenizer):,} tokens, but the model's {ENCODERS[name]} has {size:,}; "
            "set model.tokenizers to the folder of the model's own tokenizers, with tokenizer/ and tokenizer_2/"
        )
    return tokenizer


def read_marks(path: Path) -> Marks:
    """What a checkpoint says of its prediction and its schedule. If it says nothing: epsilon, with the usual end."""
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
    """A part on the meta device, built from its configuration file."""
    config = _config(file)
    config.pop("quantization_config", None)  # quantised weights are restored when they are read
    try:
        with torch.device("meta"), _Blank():
            if part.startswith("text"):
                return CLASSES[part](CLIPTextConfig.from_dict(config))
            return CLASSES[part].from_config(config)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(
            f"{file} does not describe the {part} of an SDXL ({error}); name the configuration of an SDXL"
        ) from error


class _Blank(TorchFunctionMode):
    """Leaves out that modules begin with random numbers: on the meta device it takes a third of the time, for nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, unless it fills a tensor."""
        kwargs = kwargs or {}
        fills = getattr(func, "__module__", None) == "torch.nn.init"
        return kwargs["tensor"] if fills else func(*args, **kwargs)


def _config(file: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(read_text(file))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file} cannot be read ({error}); name a folder in diffusers' layout with the model's configuration"
        ) from error
    return config
