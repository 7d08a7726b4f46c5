"""Pictures from prompts, by DDIM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from hakubooru.errors import InputError
from hakubooru.files import read_text
from hakubooru_trainer import noise, randomness
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import adapter_of
from hakubooru_trainer.model.load import load
from hakubooru_trainer.text import encode, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.model.load import Sdxl


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How pictures are drawn."""

    width: int = 1024
    height: int = 1024
    steps: int = 24
    guidance: float = 6.0
    """How much the prompt counts: classifier-free guidance."""
    negative: str = ""
    tokens: int = 225
    seed: int = 0


def read_prompts(path: Path) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
        InputError: it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as prompts ({error}); it is a text file in UTF-8, a prompt a line"
        ) from error
    if not (prompts := [line for line in lines if line]):
        raise InputError(f"{path} has no prompts; write one a line")
    return prompts


@torch.no_grad()
def draw(
    model: Sdxl, prompts: Sequence[str], how: Drawing, *, v: bool, zero_terminal_snr: bool
) -> list[Image.Image]:
    """A picture for each prompt; the noise that it begins with depends on the seed and its place alone."""
    return [
        _one(model, prompt, place, how, v=v, zero_terminal_snr=zero_terminal_snr)
        for place, prompt in enumerate(prompts)
    ]


def draw_files(
    options: ModelOptions, prompts: Path, out: Path, how: Drawing, lokr: Path | None = None
) -> list[Path]:
    """Draw with a model from disk, on a GPU where there is one, and write a numbered PNG for each prompt.

    Args:
        options: where the model lies.
        prompts: a text file, a prompt a line.
        out: a folder.
        how: all pictures are drawn.
        lokr: an adapter's file.

    Raises:
        InputError: a file is missing, or does not fit.
    """
    texts = read_prompts(prompts)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(options, torch.bfloat16 if device.type == "cuda" else torch.float32)
    if lokr is not None:
        adapter = adapter_of(file.read(lokr), vars(model), str(lokr))
        adapter.to(device)
        adapter.apply()
    model.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        pictures = draw(model, texts, how, v=model.marks.v, zero_terminal_snr=model.marks.zero_terminal_snr)
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{place:03d}.png" for place in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return paths


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in a grid, about as wide as high."""
    columns = math.ceil(len(pictures) ** 0.5)
    width, height = pictures[0].size
    made = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height))
    for place, picture in enumerate(pictures):
        made.paste(picture, (place % columns * width, place // columns * height))
    return made


def _one(
    model: Sdxl, prompt: str, place: int, how: Drawing, *, v: bool, zero_terminal_snr: bool
) -> Image.Image:
    device = model.unet.device
    texts, chunks = [how.negative, prompt], how.tokens // 75
    context, pooled = encode(
        model,
        tokenize(model.tokenizer, texts, chunks).to(device),
        tokenize(model.tokenizer_2, texts, chunks).to(device),
    )
    told = torch.tensor(
        [[how.height, how.width, 0, 0, how.height, how.width]] * 2, dtype=torch.float32, device=device
    )
    start = randomness.normal((1, 4, how.height // 8, how.width // 8), "sample", how.seed, place)
    latents = torch.from_numpy(start).to(device)
    alphas = noise.alphas_cumprod(zero_terminal_snr=zero_terminal_snr).to(device)
    steps = noise.sampling_timesteps(how.steps)
    after = [*alphas[steps[1:]], torch.ones_like(alphas[0])]
    for timestep, then in zip(steps, after, strict=True):
        without, with_prompt = (
            model.unet(
                torch.cat([latents] * 2).to(model.unet.dtype),
                timestep,
                encoder_hidden_states=context,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": told},
            )
            .sample.float()
            .chunk(2)
        )
        guided = without + how.guidance * (with_prompt - without)
        latents = noise.ddim_step(latents, guided, alphas[timestep], then, "v" if v else "epsilon")
    return _decoded(model, latents)


def _decoded(model: Sdxl, latents: Tensor) -> Image.Image:
    scaled = (latents / model.vae.config.scaling_factor).to(model.vae.dtype)
    with torch.autocast(latents.device.type, enabled=False):  # in fp16 it overflows
        image = model.vae.decode(scaled).sample[0]
    values = ((image.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(values)
