"""What the commands of `hakubooru-train` share: options that print, checks before torch is imported, silence, and ranks."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import click

from hakubooru.errors import HakubooruError, InputError
from hakubooru_cli.shell import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from hakubooru_trainer.config import Problems

Command = TypeVar("Command", bound="Callable[..., object] | click.Command")
_LOGGERS: Final = ("bitsandbytes", "diffusers", "transformers", "huggingface_hub", "accelerate", "LyCORIS")
_PACKAGES: Final = r"(bitsandbytes|diffusers|transformers|huggingface_hub|accelerate|lycoris)\b"
precision_option = click.option(
    "--precision",
    type=click.Choice(["fp16", "bf16", "fp32"]),
    help="The precision of all weights; by default each weight keeps its own.",
)
"""The option --precision; `dtype_of` gives torch's type for its value."""


def printing(flag: str, text: Callable[[], str], about: str) -> Callable[[Command], Command]:
    """Give a command an option that prints a text.

    Args:
        flag: the option.
        text: makes the text, when it is asked for.
        about: the help of the option.
    """

    def show(context: click.Context, parameter: click.Parameter, *values: bool) -> None:
        del parameter
        if any(values):
            click.echo(text())
            context.exit()

    return click.option(flag, is_flag=True, is_eager=True, expose_value=False, callback=show, help=about)


def dtype_of(precision: str | None) -> torch.dtype | None:
    """The type of a precision; None for none."""
    from hakubooru_trainer.lokr.file import DTYPES  # noqa: PLC0415 - torch takes seconds

    return DTYPES[precision] if precision else None


def need(names: Sequence[str], command: str, extra: str) -> None:
    """Check that packages are installed.

    Args:
        names: the import names of the packages.
        command: what needs them, for the message.
        extra: the extras that install them; the last one is theirs.

    Raises:
        InputError: a package is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{command} needs {', '.join(missing)}; install the extra `{extra.rpartition(',')[2]}`: pip install '.[{extra}]' in the "
            "folder of hakubooru"
        )


@contextmanager
def checking(error: type[InputError] = InputError) -> Iterator[Problems]:
    """Collect what is wrong with the arguments of a command in a `with` statement, before torch is imported.

    What is wrong is raised as one error. If nothing is, the libraries that follow are silenced.

    Args:
        error: the class of the error.
    """
    from hakubooru_trainer.config import Problems  # noqa: PLC0415 - only training commands need it

    problems = Problems()
    yield problems
    problems.raise_as(error)
    quiet()


def quiet() -> None:
    """Silence the remarks of libraries on kernels, progress and defaults that do not matter here.

    Call this before the libraries are imported: diffusers and transformers set the level of their loggers on import,
    from the environment.
    """
    for name in ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    for name in ("TRANSFORMERS_NO_ADVISORY_WARNINGS", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=_PACKAGES)


@contextmanager
def as_rank() -> Iterator[None]:
    """Run a block as one of the ranks that a launcher started, or alone: the launcher reports an error once for all ranks.

    SIGTERM ends the block at once, as Ctrl-C does, until the block itself has something to save.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from hakubooru_trainer import distributed  # noqa: PLC0415 - torch takes seconds

    try:
        yield
    except (HakubooruError, KeyboardInterrupt) as error:
        if distributed.launched():
            sys.exit(error.exit_code if isinstance(error, HakubooruError) else INTERRUPTED)
        raise
