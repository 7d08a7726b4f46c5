"""`hakubooru-train tiny-model`, `merge`, `combine`, `convert` and `sample`: make, change and try models."""

from __future__ import annotations

import math
from pathlib import Path

import click

from hakubooru.errors import DestinationError, InputError
from hakubooru.quantity import quantity
from hakubooru_cli.training.common import checking, dtype_of, precision_option

_path = click.Path(path_type=Path)


def _finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """The strength of a LoKr."""
    del context, parameter
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no strength: write a number such as 0.8")
    return value


strength = click.option(
    "--scale",
    type=float,
    callback=_finite,
    default=1.0,
    show_default=True,
    help="The strength of the LoKr: 1 is what was trained, 0.5 half of it.",
)


def check_strength(scale: float, lokr: Path | None) -> None:
    """Refuse the strength of a LoKr that is not given.

    Raises:
        InputError: there is no LoKr.
    """
    if lokr is None and scale != 1:
        raise InputError(f"--scale {scale:g} is the strength of a LoKr; name one with --lokr")


@click.command("tiny-model")
@click.argument("folder", metavar="DIR", type=_path)
@click.option("--seed", type=int, default=0, show_default=True, help="The seed of the random weights.")
def tiny_model(folder: Path, *, seed: int) -> None:
    """Write a random SDXL of a few million parameters.

    It is for experiments. The new folder DIR has diffusers' layout. DIR/tiny.safetensors is the same model as a single file.
    """
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once

    with checking(DestinationError) as problems:
        paths.check_new_folder(folder, problems)
    from hakubooru_trainer.model.tiny import write_tiny  # noqa: PLC0415 - torch takes seconds to import

    click.echo(f"{write_tiny(folder, seed)} and {folder}: a random SDXL")


@click.command()
@click.option("--base", metavar="FILE", type=_path, required=True, help="A single-file checkpoint.")
@click.option("--lokr", metavar="FILE", type=_path, required=True, help="A LoKr that `run` wrote.")
@strength
@precision_option
@click.option("--out", metavar="FILE", type=_path, required=True, help="The new checkpoint.")
def merge(*, base: Path, lokr: Path, scale: float, precision: str | None, out: Path) -> None:
    """Merge a LoKr into the weights of a checkpoint."""
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once

    with checking() as problems:
        for path in (base, lokr):
            paths.check_file(path, problems)
        paths.check_out(out, problems)
    from hakubooru_trainer.merge import merge as merge_files  # noqa: PLC0415 - torch takes seconds

    layers = merge_files(base, lokr, out, scale=scale, dtype=dtype_of(precision))
    click.echo(f"{out}: {quantity(layers, 'layer')} changed")


@click.command()
@click.argument("formula", metavar="FORMULA")
@click.option(
    "--model",
    "models",
    metavar="NAME=FILE",
    multiple=True,
    help="The file that a name in FORMULA stands for; give one for each name.",
)
@precision_option
@click.option("--out", metavar="FILE", type=_path, required=True, help="The new checkpoint.")
def combine(formula: str, *, models: tuple[str, ...], precision: str | None, out: Path) -> None:
    """Compute a checkpoint from others by a formula.

    FORMULA is such as "beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)". The checkpoint is computed piece by piece in fp32. Without --precision, it is written in the precision of the first
    model that FORMULA names.
    """
    files = {}
    for model in models:
        name, mark, path = model.partition("=")
        if not mark or name.strip() in files:
            raise InputError(f"--model {model}: write NAME=FILE, once for each name")
        files[name.strip()] = Path(path)
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once

    with checking() as problems:
        for file in files.values():
            paths.check_file(file, problems)
        paths.check_out(out, problems)
    from hakubooru_trainer.merge import combine as combine_files  # noqa: PLC0415 - torch takes seconds

    combine_files(formula, files, out, dtype=dtype_of(precision))
    click.echo(str(out))


@click.command()
@click.argument("source", metavar="ADAPTER", type=_path)
@click.option(
    "--to",
    type=click.Choice(["lora", "lokr", "diffusers", "peft"]),
    default="lora",
    show_default=True,
    help="lora, lokr: for ComfyUI and the sd-webui. diffusers: a LoRA for load_lora_weights. peft: a folder for PEFT, of a LoRA or "
    "a LoKr.",
)
@click.option(
    "--rank",
    type=click.IntRange(min=1),
    metavar="N",
    help="The rank of the LoRA that a LoKr becomes; not for --to lokr, nor for a LoKr of PEFT.",
)
@precision_option
@click.option(
    "--config",
    metavar="DIR",
    default="",
    help="A diffusers folder of the model, if it is not of SDXL's size.",
)
@click.option("--out", metavar="PATH", type=_path, required=True, help="The new file, or folder for peft.")
def convert(
    source: Path, *, to: str, rank: int | None, precision: str | None, config: str, out: Path
) -> None:
    """Convert ADAPTER, a file or a folder of PEFT, for other programs.

    A LoKr becomes a plain LoRA, or either gets other names. With --rank, a LoKr becomes the nearest LoRA of that rank; how
    much of the change is lost is said. Without it, only names change, and back again exactly.
    """
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once
    from hakubooru_trainer.config.options import ModelOptions  # noqa: PLC0415

    with checking() as problems:
        if not source.is_dir():
            paths.check_file(source, problems)
        if to == "peft":
            paths.check_new_folder(out, problems)
        else:
            paths.check_out(out, problems)
    from hakubooru_trainer import convert as conversion  # noqa: PLC0415 - torch takes seconds

    model, dtype = ModelOptions(path="model.safetensors", config=config), dtype_of(precision)
    click.echo(f"{out}: {conversion.convert(source, out, model, to=to, rank=rank, dtype=dtype)}")


@click.command()
@click.argument("model", metavar="MODEL", type=_path)
@click.option("--lokr", metavar="FILE", type=_path, help="A LoKr that `run` wrote.")
@strength
@click.option(
    "--prompts", metavar="FILE", type=_path, required=True, help="A text file with a prompt on each line."
)
@click.option(
    "--out",
    metavar="DIR",
    type=_path,
    required=True,
    help="The folder for the pictures: 000.png, 001.png and so on. One that is there stays, and another is written beside it as "
    "000_2.png.",
)
@click.option(
    "--size",
    metavar="WxH",
    default="1024x1024",
    show_default=True,
    help="Width and height in pixels, multiples of 8 and at most 8192.",
)
@click.option(
    "--steps", type=click.IntRange(1, 1000), default=24, show_default=True, help="Steps of the sampler."
)
@click.option(
    "--sampler",
    type=click.Choice(["ddim", "euler_a", "dpmpp_2m"]),
    default="ddim",
    show_default=True,
    help="The way from noise to a picture.",
)
@click.option("--guidance", type=float, default=6.0, show_default=True, help="The strength of the prompt.")
@click.option("--negative", default="", help="The negative prompt: what not to draw.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The seed of the noise that a picture begins with."
)
@click.option(
    "--tokenizers",
    default="",
    help="A folder with tokenizer/ and tokenizer_2/; by default the model's, or else SDXL's.",
)
@click.option(
    "--config",
    default="",
    help="A diffusers folder of the same size; needed for a single file not of SDXL's size.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads that torch uses on a CPU; by default torch chooses.",
)
def sample(
    model: Path,
    *,
    lokr: Path | None,
    scale: float,
    prompts: Path,
    out: Path,
    size: str,
    steps: int,
    sampler: str,
    guidance: float,
    negative: str,
    seed: int,
    tokenizers: str,
    config: str,
    threads: int | None,
) -> None:
    """Draw a picture for each prompt with MODEL.

    MODEL is a diffusers folder or a checkpoint. A prompt may set options for its own picture, as in sd-scripts: `1girl, solo --n lowres --w 832 --h 1216 --d 1`.
    These are --n negative, --w width, --h height, --d seed, --s steps, --l guidance and --ss sampler. Lines that begin with # are
    comments.
    """
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once
    from hakubooru_trainer.config.options import ModelOptions  # noqa: PLC0415
    from hakubooru_trainer.prompts import LONGEST_SIDE  # noqa: PLC0415

    check_strength(scale, lokr)
    width, _, height = size.partition("x")
    if not (
        width.isdecimal()
        and height.isdecimal()
        and int(width) % 8 == int(height) % 8 == 0 < int(width) * int(height)
        and max(int(width), int(height)) <= LONGEST_SIDE
    ):
        raise InputError(
            f"--size {size}: write WxH, both multiples of 8 and at most {LONGEST_SIDE}, such as 832x1216"
        )
    options = ModelOptions(path=str(model), config=config, tokenizers=tokenizers)
    with checking() as problems:
        paths.check_model(options, problems)
        if lokr is not None:
            paths.check_file(lokr, problems)
        paths.check_prompts(prompts, problems)
        paths.check_folder("--out", str(out), problems)
    from hakubooru_trainer.sample import Drawing, draw_files  # noqa: PLC0415 - torch takes seconds

    how = Drawing(
        width=int(width),
        height=int(height),
        steps=steps,
        sampler=sampler,
        guidance=guidance,
        negative=negative,
        seed=seed,
    )
    for path in draw_files(options, prompts, out, how, lokr, scale=scale, threads=threads or 0):
        click.echo(str(path))
