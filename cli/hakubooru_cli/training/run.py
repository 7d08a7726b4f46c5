"""`hakubooru-train run` and `plan`: a fine-tune from a configuration, and what it will come to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from hakubooru.errors import HakubooruError
from hakubooru_cli.shell import INTERRUPTED
from hakubooru_cli.training.quiet import quiet

_config = click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
_overrides = click.option(
    "--set", "overrides", metavar="SECTION.KEY=VALUE", multiple=True, help="In place of what CONFIG says."
)


def _print_help(context: click.Context, parameter: click.Parameter, *values: bool) -> None:
    del parameter
    if any(values):
        from hakubooru_trainer.config import help_text  # noqa: PLC0415 - --help answers at once

        click.echo(help_text())
        context.exit()


@click.command()
@_config
@_overrides
@click.option(
    "--resume",
    metavar="auto|never|DIR",
    default="auto",
    show_default=True,
    help="Go on where the run stopped; refuse to; or go on from a state.",
)
@click.option(
    "--allow-change",
    "allow",
    metavar="KEY",
    multiple=True,
    help="Resume although this key of the configuration, or `data` or `version`, is another: the result is too.",
)
@click.option(
    "--gpus",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Share each update among N GPUs of this machine, or N processes of its CPU; for several machines use torchrun.",
)
@click.option(
    "--help-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_help,
    help="Show every key of CONFIG, with its default.",
)
def run(config: Path, *, overrides: tuple[str, ...], resume: str, allow: tuple[str, ...], gpus: int) -> None:
    """Fine-tune a model as the TOML file CONFIG says.

    Interrupted, the same command goes on where it stopped. Ctrl-C and SIGTERM let the update end and save; a second one
    leaves at once.
    """
    from hakubooru_trainer.config import load  # noqa: PLC0415 - as above

    options = load(config, overrides, paths=True)
    quiet()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # until there is something to save, both leave at once
    from hakubooru_trainer import distributed  # noqa: PLC0415 - torch takes seconds

    if gpus > 1:
        told = [("--set", one) for one in overrides] + [("--allow-change", key) for key in allow]
        rank = [sys.executable, "-m", "hakubooru_cli.train", "run", str(config), "--resume", resume]
        distributed.launch([*rank, *(word for pair in told for word in pair)], gpus, options.run)
        return
    from hakubooru_trainer.loop import run as train  # noqa: PLC0415 - as above

    try:
        report = train(options, resume=resume, allow=allow)
    except (HakubooruError, KeyboardInterrupt) as error:
        if distributed.launched():  # what ended the run is told by the launcher, once
            sys.exit(error.exit_code if isinstance(error, HakubooruError) else INTERRUPTED)
        raise
    if distributed.rank() > 0:
        return
    click.echo(
        f"{report.file}: {report.updates} updates, the last loss {report.loss:.4f}"
        + (f", {report.validation:.4f} on held-out images" if report.validation is not None else "")
        + (f"; {report.skipped} updates were skipped as not finite" if report.skipped else "")
        + (
            f"; images that could not be decoded had no weight, {report.left_out} times"
            if report.left_out
            else ""
        )
    )


@click.command()
@_config
@_overrides
def plan(config: Path, *, overrides: tuple[str, ...]) -> None:
    """Show what `run` with CONFIG will come to: images, buckets, updates, parameters, memory.

    No weights are read, and no images but those of folders that have no manifest.
    """
    from hakubooru_trainer.config import load  # noqa: PLC0415 - as above

    options = load(config, overrides, paths=True)
    quiet()
    from hakubooru_trainer.plan import plan as planned  # noqa: PLC0415 - as above

    click.echo(str(planned(options)))
