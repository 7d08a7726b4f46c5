"""The options that several commands share: which posts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hakubooru.select.recipe import Recipe, shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    import hakubooru as hb


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What FILE [QUERY] --recipe --ids --scale say."""

    file: str
    query: str | None
    recipe: Recipe | None
    ids: str | None
    scale: float

    def select(self, database: hb.Database) -> hb.Selection:
        """The posts: the recipe's, of those the query's, of those the ones that are in the list of ids."""
        selection = database.posts
        if self.recipe is not None:
            selection = self.recipe.select(database, scale=self.scale)
            self._warn_of_newer_file(database, self.recipe)
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

    def _warn_of_newer_file(self, database: hb.Database, recipe: Recipe) -> None:
        end = recipe.beyond(database, scale=self.scale)
        if end is not None:
            click.echo(
                f"note: {recipe.name} was drawn from a file that ended near id {end:,}, and this one goes on: "
                f'add the query "id:<{end}" to repeat it',
                err=True,
            )


def selection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add FILE [QUERY] --recipe --ids --scale to a command, which gets them as its first argument, a `Choice`."""

    @click.argument("file", type=click.Path())
    @click.argument("query", required=False)
    @click.option("--recipe", metavar="R", help=f"A recipe: {', '.join(shipped())}, or a TOML file.")
    @click.option("--ids", metavar="F", type=click.Path(), help="A file with one post id a line.")
    @click.option("--scale", type=float, default=1, help="Multiply the recipe's id bounds and sample sizes.")
    @wraps(command)
    def with_choice(
        file: str, query: str | None, recipe: str | None, ids: str | None, scale: float, **rest: Any
    ) -> None:
        if scale != 1 and recipe is None:
            raise click.UsageError("--scale multiplies a recipe's bounds; give a --recipe with it")
        loaded = Recipe.load(recipe) if recipe else None
        command(Choice(file=file, query=query, recipe=loaded, ids=ids, scale=scale), **rest)

    return with_choice
