"""Options that print a text and end the command, as `--help` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., object] | click.Command")


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
