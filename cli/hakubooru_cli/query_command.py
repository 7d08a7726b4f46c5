"""Commands whose last argument is a query, and their options that select posts."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


class SelectionOption(click.Option):
    """An option that selects posts; the help of a command shows these together."""


class QueryCommand(click.Command):
    """A command whose last argument is a query, which may hold blanks and begin with a minus."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that select posts after the others."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, kind in (("Options", False), ("Options that select posts", True)):
            rows = [
                each.get_help_record(ctx) for each in options if isinstance(each, SelectionOption) == kind
            ]
            if records := [row for row in rows if row is not None]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; if the query was split by the shell or read as an option, say how to write it.

        Raises:
            click.UsageError: the arguments are wrong; the message shows the command line to write.
        """
        words = self._words(args)
        self._check_given_once(ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            *others, last = (each for each in self.params if isinstance(each, click.Argument))
            query = words[len(others) :]
            is_split = type(error) is click.UsageError and len(query) > 1
            is_option = isinstance(error, click.NoSuchOption) and not error.option_name.startswith("--")
            if not query or not (is_split or is_option):
                raise
            text = " ".join(query)
            before = [
                ctx.command_path,
                *map(shlex.quote, words[: len(others)]),
                *["--"] * text.startswith("-"),
            ]
            raise click.UsageError(
                f"{error.message} If this is part of {str(last.name).upper()}, write: "
                f"{' '.join(before)} {shlex.quote(text)}",
                ctx,
            ) from None

    def _check_given_once(self, ctx: click.Context, args: Sequence[str]) -> None:
        """Check that no option which selects posts stands twice: click would take the last, and drop the others."""
        names = Counter(word.partition("=")[0] for word in args)
        for option in self.params:
            if isinstance(option, SelectionOption) and not (option.multiple or option.is_flag):
                (name,) = option.opts
                if names[name] > 1:
                    raise click.UsageError(f"{name} is given twice; give it once.", ctx)

    def _words(self, args: Sequence[str]) -> list[str]:
        """Return the arguments without the options of this command and their values."""
        options = {name: each for each in self.params if isinstance(each, click.Option) for name in each.opts}
        words: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return words + rest
            option = options.get(word)
            if option is not None and not option.is_flag:
                del rest[:1]
            elif option is None and not word.startswith("--"):
                words.append(word)
        return words
