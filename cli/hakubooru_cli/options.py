"""The options that several commands share: which posts."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import hakubooru as hb
from hakubooru.errors import SampleError
from hakubooru.select.search import caveats, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class QueryCommand(click.Command):
    """A command whose last argument may have blanks in it and begin with a minus, which makes no option of it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; where the last one was written as an option or as several, say how to write it."""
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
                f"{error.message} If that belongs to {str(last.name).upper()}, write: "
                f"{' '.join(before)} {shlex.quote(text)}",
                ctx,
            ) from None

    def _words(self, args: Sequence[str]) -> list[str]:
        """The arguments without the options of this command and their values."""
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
    """What FILE [QUERY] --recipe --ids --scale say."""

    file: str
    query: str | None
    recipe: hb.Recipe | None
    ids: str | None
    scale: float

    def select(self, database: hb.Database) -> hb.Selection:
        """The posts: the recipe's, of those the query's, of those the ones that are in the list of ids."""
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
        """What files that belong to the selection are called after: the recipe, or else the database."""
        return self.recipe.name if self.recipe is not None else Path(self.file).stem

    def asked(self) -> dict[str, Any]:
        """What was asked for, as JSON can hold it."""
        recipe = None
        if self.recipe is not None:
            recipe = asdict(self.recipe)
            # A format is kept as it is resolved, and its words here would say it twice.
            del recipe["caption"], recipe["description"]
        return {"recipe": recipe, "query": self.query, "ids": self.ids, "scale": self.scale}

    def _warn_of_newer_file(self, database: hb.Database, recipe: hb.Recipe) -> None:
        end = recipe.beyond(database, scale=self.scale)
        if end is not None:
            click.echo(
                f"note: {recipe.name} was drawn from a file that ended near id {end:,}, and this one goes on: "
                f'add the query "id:<{end}" to repeat it',
                err=True,
            )


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add FILE [QUERY] --recipe --ids --scale to a command, which gets them as its first argument, a `Choice`.

    The command is to be a `QueryCommand`: a query may begin with a minus.
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
            raise click.UsageError("--scale multiplies a recipe's bounds; give a --recipe with it")
        loaded = hb.Recipe.load(recipe) if recipe else None
        try:
            command(Choice(file=file, query=query, recipe=loaded, ids=ids, scale=scale), **rest)
        except SampleError as error:
            if loaded is None:
                raise
            raise SampleError(f"recipe {loaded.name}: {error} (--scale)") from error

    return with_choice
