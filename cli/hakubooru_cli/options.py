"""The arguments and options by which several commands select posts."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import hakubooru as hb
from hakubooru.errors import SampleError
from hakubooru.select.danbooru import caveats, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class QueryCommand(click.Command):
    """A command whose last argument is a query, which may hold blanks and begin with a minus."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; if the query was split by the shell or read as an option, say how to write it.

        Raises:
            click.UsageError: the arguments are wrong; the message shows the command line to write.
        """
        words = self._words(args)
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


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The values of FILE [QUERY] --recipe --ids --scale."""

    file: str
    """The path of the database."""
    query: str | None
    """The search, or None."""
    recipe: hb.Recipe | None
    """The recipe, or None."""
    ids: str | None
    """The path of a list of ids, or None."""
    scale: float
    """The factor for the recipe's id bounds and sample sizes."""

    def select(self, database: hb.Database) -> hb.Selection:
        """Return the posts of the recipe that match the query and are in the list of ids; print notes on the way."""
        selection = database.posts
        if self.recipe is not None:
            selection = self.recipe.select(database, scale=self.scale)
            self.recipe.check(database, scale=self.scale)
            self._warn_of_newer_file(database, self.recipe)
        for query in (self.recipe.query if self.recipe is not None else None, self.query):
            for caveat in caveats(parse(query or "")):
                click.echo(f"note: {caveat}", err=True)
        if self.query:
            selection = selection.search(self.query)
        if self.ids:
            selection = selection.among(self.ids)
        return selection

    @property
    def name(self) -> str:
        """The name for files of the selection: the recipe's, or else the database's."""
        return self.recipe.name if self.recipe is not None else Path(self.file).stem

    def asked(self) -> dict[str, Any]:
        """Return the recipe, query, list of ids and scale as a table that JSON can hold."""
        recipe = None
        if self.recipe is not None:
            recipe = asdict(self.recipe)
            # A lock keeps the resolved caption format, so the recipe's own would be a second copy.
            del recipe["caption"], recipe["description"]
        return {"recipe": recipe, "query": self.query, "ids": self.ids, "scale": self.scale}

    def _warn_of_newer_file(self, database: hb.Database, recipe: hb.Recipe) -> None:
        end = recipe.beyond(database, scale=self.scale)
        if end is not None:
            click.echo(
                f"note: {recipe.name} was made for a file that ends near id {end:,}, but this file has later posts; "
                f'to repeat the original selection, add the query "id:<{end}"',
                err=True,
            )


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add FILE [QUERY] --recipe --ids --scale to a command, which gets them as its first argument, a `Choice`.

    The command must be a `QueryCommand`, because a query may begin with a minus.
    """

    @click.argument("file", type=click.Path())
    @click.argument("query", required=False)
    @click.option(
        "--recipe", metavar="R", help=f"A recipe: {', '.join(hb.shipped_recipes())}, or a TOML file."
    )
    @click.option("--ids", metavar="F", type=click.Path(), help="A file with one post id a line.")
    @click.option("--scale", type=float, default=1, help="Multiply the recipe's id bounds and sample sizes.")
    @wraps(command)
    def with_choice(
        file: str, query: str | None, recipe: str | None, ids: str | None, scale: float, **rest: Any
    ) -> None:
        if scale != 1 and recipe is None:
            raise click.UsageError("--scale multiplies the bounds of a recipe; add --recipe")
        loaded = hb.Recipe.load(recipe) if recipe else None
        try:
            command(Choice(file=file, query=query, recipe=loaded, ids=ids, scale=scale), **rest)
        except SampleError as error:
            if loaded is None:
                raise
            raise SampleError(f"recipe {loaded.name}: {error} (--scale)") from error

    return with_choice
