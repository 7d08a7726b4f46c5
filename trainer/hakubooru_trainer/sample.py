"""Drawing pictures from prompts."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING

import torch
from PIL import Image
from tqdm import tqdm

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru.progress import progress
from hakubooru_trainer import noise, randomness
from hakubooru_trainer.data.images import DOWN
from hakubooru_trainer.lokr import file
from hakubooru_trainer.lokr.adapter import adapter_of
from hakubooru_trainer.model.load import load
from hakubooru_trainer.prompts import Prompt, read_prompts
from hakubooru_trainer.samplers import SAMPLERS, Step, split
from hakubooru_trainer.text import CHUNK, encode, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config.options import ModelOptions
    from hakubooru_trainer.model.load import Sdxl
    from hakubooru_trainer.model.single_file import Marks


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How pictures are drawn."""

    width: int = 1024
    height: int = 1024
    steps: int = 24
    sampler: str = "ddim"
    """A name of `samplers.SAMPLERS`."""
    guidance: float = 6.0
    """How strongly the prompt counts (classifier-free guidance)."""
    negative: str = ""
    tokens: int = 225
    seed: int = 0


def draw(
    model: Sdxl,
    prompts: Sequence[str],
    how: Drawing,
    *,
    marks: Marks,
    step: Callable[[], object] = lambda: None,
) -> Iterator[Image.Image]:
    """Draw a picture for each prompt. Its first noise depends only on the seed and its place in the list.

    Args:
        model: the model, on the device.
        prompts: the prompts; a `Prompt` has options of its own.
        how: how pictures are drawn, unless their prompts say otherwise.
        marks: what the model predicts, and how its noise schedule ends.
        step: called after each step of the sampler.
    """
    for place, prompt in enumerate(prompts):
        own = how_of(prompt, how)
        yield from draw_batch(model, [prompt], own, [(own.seed, place)], marks=marks, step=step)


def how_of(prompt: str, how: Drawing) -> Drawing:
    """How a prompt's picture is drawn: the common way, with the prompt's own options."""
    return replace(how, **prompt.options) if isinstance(prompt, Prompt) else how


def draw_files(
    options: ModelOptions,
    prompts: Path,
    out: Path,
    how: Drawing,
    lokr: Path | None = None,
    *,
    scale: float = 1.0,
    threads: int = 0,
) -> list[Path]:
    """Draw with a model from disk, on a GPU if there is one, and write a numbered PNG for each prompt.

    Pictures that are there already stay; see `save`.

    Args:
        options: where the model lies, and what it predicts.
        prompts: a text file with one prompt a line.
        out: the folder for the pictures.
        how: how pictures are drawn, unless their prompts say otherwise.
        lokr: the file of an adapter.
        scale: the share of the adapter's change.
        threads: threads of torch on a CPU; 0 lets torch decide.

    Raises:
        InputError: a file is missing, or does not fit.
    """
    texts = read_prompts(prompts)
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_for_drawing(options, lokr, device, scale)
    out.mkdir(parents=True, exist_ok=True)
    steps = sum(how_of(prompt, how).steps for prompt in texts)
    with (
        torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"),
        progress(total=steps, desc=f"drawing {len(texts)}", unit="step") as bar,
    ):
        pictures = draw(model, texts, how, marks=model.marks, step=bar.update)
        return [save(picture, out / f"{place:03d}.png") for place, picture in enumerate(pictures)]


def save(picture: Image.Image, path: Path) -> Path:
    """Write a picture as a PNG; another one that is there stays, and this one is written beside it.

    Args:
        picture: the picture.
        path: where it is written, such as `000.png`; the next names are `000_2.png`, `000_3.png` and so on.

    Returns:
        where the picture is; a file that holds the same picture counts.
    """
    data = BytesIO()
    picture.save(data, "png")
    places = (path if number == 1 else path.with_stem(f"{path.stem}_{number}") for number in count(1))
    place = next(place for place in places if not place.exists() or place.read_bytes() == data.getvalue())
    with replacing(place) as beside:
        beside.write_bytes(data.getvalue())
    return place


def load_for_drawing(
    options: ModelOptions, lokr: Path | None, device: torch.device, scale: float = 1.0
) -> Sdxl:
    """Load a model from disk, with an adapter if one is named, and move it to a device: in bf16 on a GPU, else in fp32.

    The model's marks are those of the options; where these say `auto`, those of the run that trained the adapter, or else the
    checkpoint's.

    Args:
        options: where the model lies, what it predicts, and the precision of its VAE.
        lokr: the file of an adapter.
        device: the device.
        scale: the share of the adapter's change.

    Raises:
        InputError: a file is missing, or does not fit.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = load(options, dtype, file.DTYPES[options.vae_precision])
    own = model.marks.unless(options)
    model.marks = own if lokr is None else model.marks.unless(file.options_of_run(lokr, options))
    if model.marks.zero_terminal_snr and not model.marks.v:
        raise ModelError(
            f"the noise schedule of {options.path} ends in pure noise, and it is not said to predict v; of pure noise nothing else "
            "can be predicted: add the mark v_pred, or prediction_type to scheduler/scheduler_config.json; an evaluation may also "
            'set model.prediction = "v"'
        )
    if model.marks != own:
        words = f"as of a model that predicts {model.marks}, which its run was set to"
        tqdm.write(f"pictures with {lokr} are drawn {words}", file=sys.stderr)
    if lokr is not None:
        adapter = adapter_of(file.read(lokr), vars(model), str(lokr), scale)
        adapter.to(device)
        adapter.apply()
    model.to(device)
    return model


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay pictures in a grid, about as wide as high, with cells that fit the largest."""
    columns = math.ceil(len(pictures) ** 0.5)
    width, height = (max(sides) for sides in zip(*(picture.size for picture in pictures), strict=True))
    grid = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height))
    for place, picture in enumerate(pictures):
        grid.paste(picture, (place % columns * width, place // columns * height))
    return grid


@torch.no_grad()
def draw_batch(
    model: Sdxl,
    prompts: Sequence[str],
    how: Drawing,
    seeds: Sequence[tuple[int, ...]],
    *,
    marks: Marks,
    step: Callable[[], object] = lambda: None,
) -> list[Image.Image]:
    """Draw pictures of one size together. Each depends only on its own prompt and seed, up to rounding.

    Args:
        model: the model, on the device.
        prompts: a prompt for each picture; options of a `Prompt` do not count here.
        how: how all of them are drawn; its seed does not count.
        seeds: whole numbers for each picture, which its noise follows from.
        marks: what the model predicts, and how its noise schedule ends.
        step: called after each step of the sampler.

    Raises:
        ModelError: a picture comes out of numbers that are not finite.
    """
    device, count = model.unet.device, len(prompts)
    texts, chunks = [how.negative] * count + list(prompts), how.tokens // CHUNK
    context, pooled = encode(
        model,
        tokenize(model.tokenizer, texts, chunks).to(device),
        tokenize(model.tokenizer_2, texts, chunks).to(device),
    )
    size_and_crop = torch.tensor(
        [[how.height, how.width, 0, 0, how.height, how.width]] * 2 * count, dtype=torch.float32, device=device
    )
    shape = (1, 4, how.height // DOWN, how.width // DOWN)

    def normal(purpose: str, *place: int) -> Tensor:
        draws = [torch.from_numpy(randomness.normal(shape, purpose, *seed, *place)) for seed in seeds]
        return torch.cat(draws).to(device)

    latents = normal("sample")
    alphas = noise.alphas_cumprod(zero_terminal_snr=marks.zero_terminal_snr).to(device)
    timesteps = noise.sampling_timesteps(how.steps)
    steps: list[Step] = []
    for timestep, then in zip(timesteps, [*alphas[timesteps[1:]], torch.ones_like(alphas[0])], strict=True):
        without, with_prompt = (
            model.unet(
                torch.cat([latents] * 2).to(model.unet.dtype),
                timestep,
                encoder_hidden_states=context,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": size_and_crop},
            )
            .sample.float()
            .chunk(2)
        )
        guided = without + how.guidance * (with_prompt - without)
        clean, rest = split(latents, guided, alphas[timestep], "v" if marks.v else "epsilon")
        steps = [*steps[-1:], Step(latents, clean, rest, alphas[timestep], then)]
        latents = SAMPLERS[how.sampler](steps, partial(normal, "ancestral", timestep))
        step()
    return [_decoded(model, one[None]) for one in latents]


def _decoded(model: Sdxl, latents: Tensor) -> Image.Image:
    scaled = (latents / model.vae.config.scaling_factor).to(model.vae.dtype)
    with torch.autocast(latents.device.type, enabled=False):  # SDXL's VAE overflows in fp16
        image = model.vae.decode(scaled).sample[0]
    if not image.isfinite().all():  # Pillow would show it as black
        raise ModelError(
            "the model gives numbers that are not finite in place of a picture; set model.vae to another VAE, or draw with "
            "another model or LoKr"
        )
    values = ((image.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(values)
