"""`hakubooru-train run`, `plan` and `init`: fine-tune a model, show what a run will do, and write a first configuration."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hakubooru.errors import IncompleteError
from hakubooru.quantity import quantity
from hakubooru_cli.training.common import as_rank, checking, printing, quiet

if TYPE_CHECKING:
    from hakubooru_trainer.config import Options
    from hakubooru_trainer.plan import Plan

_config = click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
_overrides = click.option(
    "--set", "overrides", metavar="SECTION.KEY=VALUE", multiple=True, help="Replace a value of CONFIG."
)


def _metrics() -> str:
    from hakubooru_trainer.metrics import FIELDS  # noqa: PLC0415 - only this option needs it

    return "\n".join(f"{name:<12} {text}" for name, text in FIELDS.items())


def _keys() -> str:
    from hakubooru_trainer.config import help_text  # noqa: PLC0415 - --help answers at once

    return help_text()


@click.command()
@_config
@_overrides
@click.option(
    "--resume",
    metavar="auto|never|DIR",
    default="auto",
    show_default=True,
    help="auto: resume where the run stopped. never: refuse to resume. DIR: resume from this state.",
)
@click.option(
    "--allow-change",
    "allow",
    metavar="KEY",
    multiple=True,
    help="Resume even if this key of the configuration, or `data` or `version`, has changed; the result changes too.",
)
@click.option(
    "--gpus",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Share each update among N GPUs of this machine, or among N processes on its CPU. For several machines, use "
    "torchrun.",
)
@printing("--help-config", _keys, "Show every key of CONFIG with its default.")
@printing("--help-metrics", _metrics, "Show every key of the lines in metrics.jsonl.")
def run(config: Path, *, overrides: tuple[str, ...], resume: str, allow: tuple[str, ...], gpus: int) -> None:
    """Fine-tune a model as the TOML file CONFIG says.

    If the run is interrupted, run the same command again to resume it. After Ctrl-C, SIGTERM, or when its terminal closes
    (not under nohup), the run finishes its update and saves. After a second signal, it ends at once.
    """
    from hakubooru_trainer.config import load  # noqa: PLC0415 - --help answers at once

    options = load(config, overrides, paths=True)
    quiet()
    with as_rank():
        from hakubooru_trainer import distributed  # noqa: PLC0415 - torch takes seconds

        if gpus > 1:
            flags = [("--set", one) for one in overrides] + [("--allow-change", key) for key in allow]
            rank = [sys.executable, "-m", "hakubooru_cli.train", "run", str(config), "--resume", resume]
            distributed.launch([*rank, *(word for pair in flags for word in pair)], gpus, options.run)
            return
        from hakubooru_trainer.loop import run as train  # noqa: PLC0415 - torch takes seconds

        report = train(options, resume=resume, allow=allow)
    if distributed.rank() > 0:
        return
    click.echo(
        f"{report.file}: {quantity(report.updates, 'update')}, the last loss {report.loss:.4f}"
        + (f", {report.validation:.4f} on held-out images" if report.validation is not None else "")
        + (
            f"; {quantity(report.skipped, 'update was', 'updates were')} skipped because of numbers that are not finite"
            if report.skipped
            else ""
        )
        + (
            f"; images that could not be decoded were left out {quantity(report.left_out, 'time')}"
            if report.left_out
            else ""
        )
    )


def _card(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """The memory of a card in GiB, from a text such as `12GB`."""
    del context, parameter
    if value is None:
        return None
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:g|gb|gib)?", value, re.IGNORECASE)
    if not number or not float(number[1]):
        raise click.BadParameter(f"{value!r} is no memory of a card: write a number of GB, such as 12GB")
    return float(number[1])


@click.command()
@_config
@_overrides
@click.option(
    "--for",
    "card",
    metavar="12GB",
    callback=_card,
    help="Find the fastest setting that fits a card of this memory, and write it to CONFIG-12GB.toml beside CONFIG.",
)
def plan(config: Path, *, overrides: tuple[str, ...], card: float | None) -> None:
    """Show what `run` with CONFIG will do, and the memory it needs.

    It counts images, buckets, updates and parameters. A table says which settings of `run` fit which cards; memory is estimated. No weights are read. Images are read only
    in folders that have no manifest.
    """
    from hakubooru_trainer.config import load  # noqa: PLC0415 - --help answers at once

    options = load(config, overrides, paths=True)
    quiet()
    from hakubooru_trainer.plan import plan as plan_run  # noqa: PLC0415 - torch takes seconds

    preview = plan_run(options)
    click.echo(str(preview))
    if card is not None:
        _write_setting(config, options, preview, card)


def _write_setting(config: Path, options: Options, preview: Plan, card: float) -> None:
    """Write the fastest setting that fits a card of so many GiB to a file beside the configuration."""
    from hakubooru_trainer import fits  # noqa: PLC0415 - --help answers at once

    setting = fits.fastest(options, preview.counts, card)
    if setting is None:
        smallest = preview.settings[-1]
        raise IncompleteError(
            f"no setting fits {card:g} GB: {smallest.name} needs {smallest.needed / fits.GIB:.1f} GiB; lower buckets.area or text.tokens"
        )
    path = config.with_name(f"{config.stem}-{card:g}GB.toml")
    fits.write(path, fits.changed(options, setting.changes))
    click.echo(f"fits {card:g} GB: {setting.name}, {setting.needed / fits.GIB:.1f} GiB; written to {path}")


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", metavar="PATH", required=True, help="The model: a diffusers folder or a checkpoint.")
@click.option(
    "--memory",
    metavar="GIB",
    type=click.FloatRange(min=1),
    help="The memory of the GPU to train on; by default this machine's, or else 24.",
)
@click.option(
    "--config",
    metavar="DIR",
    default="",
    help="A diffusers folder of the same size, for a single file not of SDXL's size.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("train.toml"),
    show_default=True,
    help="The new configuration.",
)
def init(folders: tuple[Path, ...], *, model: str, memory: float | None, config: str, out: Path) -> None:
    """Write a first configuration for some images and a GPU.

    Nothing is asked. What was chosen and why is in the comments; change what you like, and look at it with `plan`.
    """
    from hakubooru_trainer.config import paths  # noqa: PLC0415 - --help answers at once
    from hakubooru_trainer.config.options import ModelOptions  # noqa: PLC0415

    with checking() as problems:
        paths.check_model(ModelOptions(path=model, config=config), problems)
        paths.check_out(out, problems)
        if out.exists() and not out.is_dir():
            problems.add(f"--out {out} exists already; name a new file")
        for folder in folders:
            if not folder.is_dir():
                problems.add(f"{folder} {paths.NO_FOLDER}")
    from hakubooru_trainer.first_config import card, write  # noqa: PLC0415 - torch takes seconds

    write(out, model, [str(folder) for folder in folders], card(memory), config=config)
    click.echo(
        f"{out}: look at it with `hakubooru-train plan {out}`, and train with `hakubooru-train run {out}`"
    )
