"""A random SDXL of about three million parameters: it has every part of the real one, and is small enough for tests.

Its VAE is random too: latents keep enough of a picture to see training work, but decode to noise.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import torch
from transformers import CLIPTextConfig
from transformers.utils import logging as transformers_logging

from hakubooru.errors import DestinationError
from hakubooru_trainer.model.load import CLASSES, SHIPPED
from hakubooru_trainer.model.single_file import write_single
from hakubooru_trainer.model.tokenizer import END, START, vocabulary

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT: Final = "tiny.safetensors"
"""The name of the model's single file, in its folder."""

_WORDS: Final = (
    "girl",
    "boy",
    "solo",
    "hair",
    "eyes",
    "blue",
    "long",
    "smile",
    "dress",
    "sky",
    "quality",
    "safe",
)
_UNET: Final = {
    "block_out_channels": [32, 64, 96],
    "attention_head_dim": [1, 2, 3],
    "cross_attention_dim": 96,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64 + 6 * 8,
    "sample_size": 16,
    "norm_num_groups": 16,
}
_VAE: Final = {"block_out_channels": [16, 16, 32, 32], "norm_num_groups": 8, "sample_size": 128}
_TEXT: Final[dict[str, dict[str, int]]] = {
    "text_encoder": {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2},
    "text_encoder_2": {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4},
}


def write_tiny(folder: Path, seed: int = 0, *, layers: int = 2) -> Path:
    """Write the model as a diffusers folder and as a single file in it, and return the single file's path.

    Args:
        folder: a new folder.
        seed: the seed of the random weights.
        layers: the number of layers in each block, 2 as in SDXL. With 1 a pass takes half the time.

    Raises:
        DestinationError: the folder exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DestinationError(f"{folder} is there already; name a new folder for the tiny model")
    transformers_logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizers(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models = _models(vocabulary, layers)
    for name, model in models.items():
        model.save_pretrained(folder / name)
    shutil.copytree(SHIPPED / "scheduler", folder / "scheduler")
    index = {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True} | {
        name: ["transformers" if name.startswith("text") else "diffusers", type(model).__name__]
        for name, model in models.items()
    }
    index |= {name: ["transformers", "CLIPTokenizer"] for name in ("tokenizer", "tokenizer_2")}
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(
        json.dumps(index, indent=2) + "\n", encoding="utf-8", newline="\n"
    )
    write_single(folder / CHECKPOINT, {name: model.state_dict() for name, model in models.items()})
    return folder / CHECKPOINT


def write_tokenizers(folder: Path) -> int:
    """Write both tokenizers, with a vocabulary of bytes and a few words, and return its size."""
    merges: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = None
            pieces[:2] = ["".join(pieces[:2])]
    numbers = vocabulary([*merges])
    marks = {"bos_token": START, "eos_token": END, "unk_token": END}
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        (folder / name).mkdir(parents=True)
        about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77} | marks | {"pad_token": pad}
        for file, lines in (
            ("vocab.json", [json.dumps(numbers, ensure_ascii=False)]),
            ("merges.txt", ["#version: 0.2", *map(" ".join, merges)]),
            ("tokenizer_config.json", [json.dumps(about, indent=2)]),
        ):
            text = "".join(f"{line}\n" for line in lines)
            (folder / name / file).write_text(text, encoding="utf-8", newline="\n")
    return len(numbers)


def _models(vocabulary: int, layers: int) -> dict[str, Any]:
    depth = {"layers_per_block": layers}
    ends = {"vocab_size": vocabulary, "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1}
    text = {
        name: CLIPTextConfig.from_dict(
            _shipped(name)
            | ends
            | {"num_hidden_layers": layers + 1, "projection_dim": sizes["hidden_size"]}
            | sizes
        )
        for name, sizes in _TEXT.items()
    }
    models: dict[str, Any] = {
        "unet": CLASSES["unet"].from_config(
            _shipped("unet") | depth | {"transformer_layers_per_block": [1, 1, layers]} | _UNET
        ),
        "vae": CLASSES["vae"].from_config(_shipped("vae") | _VAE | depth),
        "text_encoder": CLASSES["text_encoder"](text["text_encoder"]),
        "text_encoder_2": CLASSES["text_encoder_2"](text["text_encoder_2"]),
    }
    _calibrate(models["vae"])
    return models


@torch.no_grad()
def _calibrate(vae: Any) -> None:
    """Scale the VAE's last layer so that latents of pictures have about the spread that real ones have."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    waves = [torch.sin(3 * k * rows + k) * torch.cos(2 * k * columns) for k in range(1, 7)]
    pictures = torch.stack(waves).reshape(2, 3, 128, 128)
    mean = vae.encode(pictures).latent_dist.mean  # (2, 4, 16, 16)
    last = vae.quant_conv
    spread, centre = mean.std((0, 2, 3)) * vae.config.scaling_factor, mean.mean((0, 2, 3))
    last.weight[:4] /= spread[:, None, None, None]
    last.bias[:4] = (last.bias[:4] - centre) / spread
    last.weight[4:] = 0
    last.bias[4:] = -8  # the logarithm of the variance


def _shipped(part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((SHIPPED / part / "config.json").read_text(encoding="utf-8"))
    return config
