"""Recipes: TOML files that describe a data set: its posts, captions, images and output.

description = "…"                         # optional
seed = 1                                  # the seed of the samples
last_id = 7_350_000                       # optional: the last id of the file that the recipe was written for
filter = ["without_deleted", "with_image"]  # optional: steps without arguments, after the strata
query = "1girl solo rating:g"             # optional: a search in Danbooru's syntax, after the filters
caption = "kohaku-epsilon"                # optional: a caption format, or the table [caption] below

[[strata]]                                # a range of ids; several are joined; without strata, all posts
ids = [0, 2_000_000]                      # the upper end is not included, and may be left out
sample = 1_000_000                        # optional: a number of posts, or a fraction such as 0.5

[caption]                                 # fields of `CaptionFormat` that change the preset `base`
base = "kohaku-epsilon"
max_tags = 60

[image]                                   # optional: how an export converts images
format = "webp"

[output]                                  # optional: how an export writes images and captions
sink = "webdataset"
shard_images = 5000
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import reduce
from importlib import resources
from math import floor
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.caption import CaptionFormat, caption_format
from hakubooru.errors import CaptionFormatError, InputError, RecipeError, SearchError
from hakubooru.files import read_text
from hakubooru.image.convert import image_format
from hakubooru.nearest import nearest
from hakubooru.select.danbooru import parse

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from hakubooru.database import Database
    from hakubooru.selection import Selection

FILTERS: Final = ("without_deleted", "without_banned", "without_gold", "with_image")
"""The steps that a recipe's `filter` may name."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """A range of ids, and how many posts to draw from it."""

    ids: tuple[int, int | None]
    """The first id, and the first id after the range; None leaves the end open."""
    sample: int | float | None = None
    """The number or fraction of posts to draw; None keeps all."""

    def scaled(self, scale: float) -> Stratum:
        """Multiply the bounds of ids and the size of the sample, rounded to the nearest integer."""
        low, high = self.ids
        size = _scale(self.sample, scale) if isinstance(self.sample, int) else self.sample
        return Stratum(ids=(_scale(low, scale), None if high is None else _scale(high, scale)), sample=size)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A description of a data set: its posts, captions, images and output."""

    name: str
    """The name of the file without its suffix."""
    description: str = ""
    """A text about the data set."""
    seed: int = 0
    """The seed of the samples."""
    last_id: int | None = None
    """The last id of the file that the recipe was written for."""
    strata: tuple[Stratum, ...] = ()
    """The ranges of ids, which are joined; without strata, all posts are selected."""
    filter: tuple[str, ...] = ()
    """The steps without arguments that run after the strata."""
    query: str | None = None
    """A search in Danbooru's syntax that runs after the filters."""
    caption: str | CaptionFormat | None = None
    """The caption format, or the name of one."""
    image: Mapping[str, Any] | None = None
    """How an export converts images: the fields of `hakubooru.image.ImageFormat`."""
    output: Mapping[str, Any] | None = None
    """How an export writes images and captions: the fields of `hakubooru.export.OutputFormat`."""

    @classmethod
    def load(cls, recipe: str | os.PathLike[str]) -> Recipe:
        """Load a recipe by the name of one that ships with hakubooru, or by the path of a TOML file.

        Raises:
            RecipeError: there is no such recipe, or it has a wrong value; the message names the place.
        """
        if str(recipe) in shipped():
            path = resources.files("hakubooru") / "recipes" / f"{recipe}.toml"
            return cls.parse(path.read_text(encoding="utf-8"), str(recipe))
        file = Path(recipe)
        try:
            text = read_text(file)
        except OSError as error:
            raise RecipeError(
                f"{recipe} is not a recipe that ships with hakubooru ({', '.join(shipped())}), "
                f"and cannot be read as a file: {error.strerror}"
            ) from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{recipe} is not text; a recipe is a TOML file in UTF-8") from error
        return cls.parse(text, file.stem, place=str(recipe))

    @classmethod
    def parse(cls, text: str, name: str, *, place: str | None = None) -> Recipe:
        """Read a recipe from the text of a TOML file.

        Raises:
            RecipeError: the text is not TOML, or has a wrong value; the message names the place.
        """
        place = place or name
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{place} is not TOML: {error}") from error
        return _Reader(place).recipe(table, name)

    def select(self, database: Database, *, scale: float = 1) -> Selection:
        """Select the posts of this recipe.

        Args:
            database: the database to select from.
            scale: a factor for the bounds of ids and the sizes of samples, rounded to the nearest integer. With it
                you can try a recipe for millions of posts on a small file.

        Raises:
            RecipeError: `scale` is not above 0, or so small that a range of ids is empty.
            SearchError: the database does not have a tag of the query.
        """
        if not scale > 0:
            raise RecipeError(
                f"scale must be above 0, not {scale}: ids and sizes of samples are multiplied by it"
            )
        selection = database.posts
        if self.strata:
            selection = reduce(
                or_, (self._stratum(database, stratum.scaled(scale)) for stratum in self.strata)
            )
        for step in self.filter:
            selection = getattr(selection, step)()
        return selection if self.query is None else selection.search(self.query)

    def caption_format(self) -> CaptionFormat | None:
        """The caption format of the recipe; None if it has none."""
        return None if self.caption is None else caption_format(self.caption)

    def beyond(self, database: Database, *, scale: float = 1) -> int | None:
        """The last id of the recipe's own file, if the database has later posts; else None."""
        if self.last_id is None:
            return None
        end = _scale(self.last_id, scale)
        last = database.scalar("SELECT MAX(id) FROM post")
        return end if last is not None and last >= end else None

    def check(self, database: Database, *, scale: float = 1) -> None:
        """Check that a file has enough ids for the strata of the recipe, by its first and last id.

        Raises:
            RecipeError: a stratum lies beyond the file, or has fewer ids there than its sample; the message suggests
                a scale.
        """
        ((first, last),) = database.rows("SELECT (SELECT MIN(id) FROM post), (SELECT MAX(id) FROM post)")
        if last is None:
            return
        for stratum in (each.scaled(scale) for each in self.strata):
            low, high = stratum.ids
            count = max(0, min(last + 1, high or last + 1) - max(first, low))
            size = stratum.sample if isinstance(stratum.sample, int) else 0
            ids = f"ids from {low:,}" + (" on" if high is None else f" up to {high:,}")
            if count < size:
                problem = (
                    f"a sample of {size:,} was asked for, and there are {count:,} posts at most with {ids}"
                )
            elif not count:
                problem = f"{ids} were asked for, and the file ends at id {last:,}"
            else:
                continue
            fitting = self._fitting(last, scale)
            mend = (
                f"multiply ids and samples: --scale {scale * fitting:.2g}" if fitting < 1 else "ask for fewer"
            )
            raise RecipeError(f"{self.name}: {problem}; {mend}")

    def _fitting(self, last: int, scale: float) -> float:
        """The factor for the ids of this recipe that makes them end at the last id of a file."""
        if self.last_id is not None:
            return last / _scale(self.last_id, scale)
        # A stratum without an end counts as at least as long as the ids before it.
        return last / max(high or 2 * low for low, high in (each.scaled(scale).ids for each in self.strata))

    def _stratum(self, database: Database, stratum: Stratum) -> Selection:
        low, high = stratum.ids
        if high is not None and low >= high:
            raise RecipeError(
                f"{self.name}: the scale is so small that a range of ids is empty ({low} up to {high}); use a larger one"
            )
        selection = database.posts.ids(low, high)
        match stratum.sample:
            case None:
                return selection
            case int():
                return selection.sample(stratum.sample, seed=self.seed)
            case _:
                return selection.sample(fraction=stratum.sample, seed=self.seed)


def shipped() -> list[str]:
    """The names of the recipes that ship with the package."""
    folder = resources.files("hakubooru") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


class _Reader:
    """A reader that checks the values of a recipe; its errors name the place."""

    def __init__(self, place: str) -> None:
        self.place = place

    def recipe(self, table: Mapping[str, Any], name: str) -> Recipe:
        keys = [field.name for field in fields(Recipe) if field.name != "name"]
        self._check_keys(table, keys, "a recipe")
        values = dict(table)
        for key, kind in {"description": str, "seed": int, "last_id": int, "query": str}.items():
            self._check_type(values, key, kind)
        if "strata" in values:
            values["strata"] = tuple(self._stratum(row) for row in self._list(values, "strata"))
        if "filter" in values:
            values["filter"] = tuple(self._filter(step) for step in self._list(values, "filter"))
        if "query" in values:
            self._check_query(values["query"])
        if "caption" in values:
            values["caption"] = self._caption(values["caption"])
        if "image" in values:
            self._check(image_format, values["image"])
        if "output" in values:
            from hakubooru.export import output_format  # noqa: PLC0415 - a fifth of what `import hakubooru` takes

            self._check(output_format, values["output"])
        return Recipe(name=name, **values)

    def _check_query(self, query: str) -> None:
        try:
            parse(query)
        except SearchError as error:
            raise RecipeError(f"{self.place}: query: {error}") from error

    def _check(self, read: Callable[[Any], object], table: Any) -> None:
        try:
            read(table)
        except InputError as error:
            raise RecipeError(f"{self.place}: {error}") from error

    def _caption(self, value: Any) -> str | CaptionFormat:
        try:
            caption = caption_format(value)
        except CaptionFormatError as error:
            raise RecipeError(f"{self.place}: caption: {error}") from error
        return value if isinstance(value, str) else caption

    def _stratum(self, row: Any) -> Stratum:
        if not isinstance(row, dict):
            raise RecipeError(f"{self.place}: each of the strata must be a table; write [[strata]]")
        self._check_keys(row, ["ids", "sample"], "a stratum")
        ids, size = row.get("ids"), row.get("sample")
        if (
            not isinstance(ids, list)
            or len(ids) not in {1, 2}
            or not all(type(i) is int and i >= 0 for i in ids)
        ):
            raise RecipeError(
                f"{self.place}: ids of a stratum must be a list of one or two whole numbers, not {ids!r}; "
                "write [from, up to], or [from]"
            )
        low, high = ids[0], (ids[1] if len(ids) == 2 else None)
        if high is not None and low >= high:
            raise RecipeError(
                f"{self.place}: the range ids = {ids!r} of a stratum is empty: the upper end is not included"
            )
        is_count = type(size) is int and size >= 0
        if size is not None and not is_count and not (type(size) is float and 0 <= size <= 1):
            raise RecipeError(
                f"{self.place}: sample of a stratum must be a number of posts, or a fraction from 0.0 to 1.0, not {size!r}"
            )
        return Stratum(ids=(low, high), sample=size)

    def _filter(self, step: Any) -> str:
        if step not in FILTERS:
            raise RecipeError(f"{self.place}: filter has no step {step!r}; {nearest(str(step), FILTERS)}")
        return str(step)

    def _check_keys(self, table: Mapping[str, Any], keys: list[str], owner: str) -> None:
        for key in table:
            if key not in keys:
                raise RecipeError(f"{self.place}: {owner} has no key {key!r}; {nearest(key, keys)}")

    def _check_type(self, table: Mapping[str, Any], key: str, kind: type) -> None:
        if key in table and type(table[key]) is not kind:
            expected = {str: "a text in quotes", int: "a whole number"}[kind]
            raise RecipeError(f"{self.place}: {key} must be {expected}, not {table[key]!r}")

    def _list(self, table: Mapping[str, Any], key: str) -> list[Any]:
        value = table[key]
        if not isinstance(value, list):
            raise RecipeError(f"{self.place}: {key} must be a list, not {value!r}")
        return value


def _scale(value: int, scale: float) -> int:
    return floor(value * scale + 0.5)
