"""The command `hakubooru`, with its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final, NamedTuple

import click

import hakubooru
from hakubooru_cli.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterator


class Subcommand(NamedTuple):
    """Where a subcommand is, and what it does."""

    place: str
    """The module and the name in it, as `module:name`."""
    summary: str
    """The first sentence of its help."""


SUBCOMMANDS: Final = {
    "browse": Subcommand(
        "hakubooru_cli.browse:browse", "Look at posts in a web browser, and put a data set together."
    ),
    "caption": Subcommand("hakubooru_cli.caption:caption", "Write the captions of posts, or show some."),
    "db": Subcommand("hakubooru_cli.database:db", "Build, show, migrate and optimize a metadata database."),
    "demo": Subcommand(
        "hakubooru_cli.demo:demo", "Try every step on a small image board (a booru) of its own."
    ),
    "export": Subcommand(
        "hakubooru_cli.export:export", "Export images of posts with their captions, as pairs of files."
    ),
    "select": Subcommand("hakubooru_cli.select:select", "Select posts from a metadata database."),
    "sources": Subcommand(
        "hakubooru_cli.export:sources", "Show which archives of images are recognised, and what they hold."
    ),
    "stats": Subcommand(
        "hakubooru_cli.stats:stats", "Count posts by rating, year, quality, size, bucket and tag."
    ),
    "tags": Subcommand("hakubooru_cli.tags:tags", "Show the tags whose names or aliases match PATTERN."),
    "verify": Subcommand("hakubooru_cli.export:verify", "Compare the files of an export with its manifest."),
}
"""The subcommands by name."""


class Commands(Mapping[str, click.Command]):
    """The subcommands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = resolve_name(SUBCOMMANDS[name].place)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(SUBCOMMANDS)

    def __len__(self) -> int:
        return len(SUBCOMMANDS)


class Program(click.Group):
    """A group that lists its subcommands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each subcommand does."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name].summary) for name in self.list_commands(ctx)])


@click.group(
    cls=Program,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(hakubooru.__version__, prog_name="hakubooru")
def cli() -> None:
    """Curate image data sets from Danbooru's metadata.

    New here? `hakubooru demo` tries every step on a small image board that it draws. docs/ has a tutorial, and a glossary
    of words such as gold, bucket and recipe.

    Exit codes: 0 done, 1 failed or incomplete, 2 wrong input, 130 interrupted.
    """


def main() -> None:
    """Run `hakubooru` with the arguments of this process, and exit with its code."""
    sys.exit(run(cli, "hakubooru"))
