"""Recipes: TOML files that describe a data set: its posts, captions, images and output.

description = "…"                         # optional
seed = 1                                  # the seed of the samples, and of random: in searches
last_id = 7_350_000                       # optional: the last id of the file that the recipe was written for
filter = ["without_deleted", "with_image"]  # optional: steps without arguments, after the strata
query = "1girl solo rating:g"             # optional: a search in Danbooru's syntax, after the filters
caption = "kohaku-epsilon"                # optional: a caption format, or the table [caption] below

[[strata]]                                # a range of ids; several are joined; without strata, all posts
ids = [0, 2_000_000]                      # the upper end is not included, and may be left out
sample = 1_000_000                        # optional: a number of posts, or a fraction such as 0.5

[join]                                    # optional: files of values by post id, see `Database.join`
silva = "scores.parquet"                  # then the query may have silva:>0.6; a path begins at the current folder

[[steps]]                                 # optional: further steps in their order; see `hakubooru.curating`
drop = [123, 456]

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
from collections.abc import Mapping  # noqa: TC003 - read at run time, as the kind of a key
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib import resources
from math import inf
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hakubooru.caption import CaptionFormat, caption_format
from hakubooru.curating import FILTERS, RecipeStep, scaled
from hakubooru.errors import CaptionFormatError, InputError, RecipeError, SearchError
from hakubooru.export import output_format
from hakubooru.files import read_text
from hakubooru.image.convert import image_format
from hakubooru.nearest import nearest
from hakubooru.overrides import override
from hakubooru.quantity import quantity
from hakubooru.select.danbooru import parse
from hakubooru.settings import Parse, read, toml
from hakubooru.store.store import check_open

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from hakubooru.database import Database
    from hakubooru.selection import Selection


def _ids(value: Any, place: str) -> tuple[int, int | None]:
    if (
        not isinstance(value, list)
        or len(value) not in {1, 2}
        or not all(type(i) is int and i >= 0 for i in value)
    ):
        raise InputError(f"{place} = {toml(value)}; write one or two whole numbers, [from, up to] or [from]")
    low, high = value[0], (value[1] if len(value) == 2 else None)
    if high is not None and low >= high:
        raise InputError(f"{place} = {toml(value)} is empty: the upper end is not included")
    return low, high


def _sample(value: Any, place: str) -> int | float:
    if type(value) is int and value >= 0:
        return value
    if type(value) is float and 0 <= value <= 1:
        return value
    raise InputError(f"{place} = {toml(value)}; write a number of posts, or a fraction from 0.0 to 1.0")


def _filter(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{place} = {toml(value)} is not a list; write [ , ]")
    for step in value:
        if step not in FILTERS:
            raise InputError(f"{place} has no step {toml(step)}; {nearest(str(step), FILTERS)}")
    return tuple(value)


def _query(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place} = {toml(value)}; write a text in quotes")
    try:
        parse(value, None)
    except SearchError as error:
        raise InputError(f"{place}: {error}") from error
    return value


def _join(value: Any, place: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(path, str) for path in value.values()):
        raise InputError(
            f'{place} = {toml(value)}; write a path for each name, such as silva = "scores.parquet"'
        )
    return value


def _steps(value: Any, place: str) -> tuple[RecipeStep, ...]:
    if not isinstance(value, list):
        raise InputError(f"{place} = {toml(value)} is not a list; write [[steps]]")
    steps = []
    for number, table in enumerate(value, 1):
        try:
            steps.append(RecipeStep.parse(table))
        except InputError as error:
            raise InputError(f"{place}, step {number}: {error}") from error
    return tuple(steps)


def _caption(value: Any, place: str) -> str | CaptionFormat:
    try:
        caption = caption_format(value)
    except CaptionFormatError as error:
        raise InputError(f"{place}: {error}") from error
    return value if isinstance(value, str) else caption


def _image(value: Any, _: str) -> Any:
    image_format(value)
    return value


def _output(value: Any, _: str) -> Any:
    output_format(value)
    return value


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """A range of ids, and how many posts to draw from it."""

    ids: Annotated[tuple[int, int | None], Parse(_ids)]
    """The first id, and the first id after the range; without it, the range has no end."""
    sample: Annotated[int | float | None, Parse(_sample)] = None
    """The number or fraction of posts to draw; without it, all."""

    def scaled(self, scale: float) -> Stratum:
        """Multiply the bounds of ids and the size of the sample, rounded to the nearest integer."""
        low, high = self.ids
        size = scaled(self.sample, scale) if isinstance(self.sample, int) else self.sample
        return Stratum(ids=(scaled(low, scale), None if high is None else scaled(high, scale)), sample=size)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A description of a data set: its posts, captions, images and output.

    `hb.Recipe.load("epsilon").select(db)` selects the posts of a recipe that ships with hakubooru;
    `hb.Recipe.load("mine.toml")` reads one of your own.
    """

    name: str
    """The name of the file without its suffix."""
    description: str = ""
    """A text about the data set."""
    seed: int = 0
    """The seed of the samples, and of random searches."""
    last_id: int | None = None
    """The last id of the file that the recipe was written for."""
    strata: tuple[Stratum, ...] = ()
    """The ranges of ids, which are joined; without strata, all posts are selected."""
    filter: Annotated[tuple[str, ...], Parse(_filter)] = ()
    """The steps without arguments that run after the strata."""
    query: Annotated[str | None, Parse(_query)] = None
    """A search in Danbooru's syntax that runs after the filters."""
    join: Annotated[Mapping[str, str], Parse(_join)] = field(default_factory=dict)
    """Files of values by post id, by the names that searches and captions have for them. A relative path begins at
    the current folder."""
    steps: Annotated[tuple[RecipeStep, ...], Parse(_steps)] = ()
    """Further steps, which run after the query in their order."""
    caption: Annotated[str | CaptionFormat | None, Parse(_caption)] = None
    """The caption format: the name of one, or a table `[caption]`."""
    image: Annotated[Mapping[str, Any] | None, Parse(_image)] = None
    """Which images an export takes, and how it converts them: a table `[image]`."""
    output: Annotated[Mapping[str, Any] | None, Parse(_output)] = None
    """How an export writes images and captions: a table `[output]`."""

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
        try:
            return read(cls, table, "", name=name)
        except InputError as error:
            raise RecipeError(f"{place}: {error}") from error

    def select(self, database: Database, *, scale: float = 1) -> Selection:
        """Select the posts of this recipe.

        Args:
            database: the database to select from.
            scale: a factor for the bounds of ids and the sizes of samples, rounded to the nearest integer. With it
                you can try a recipe for millions of posts on a small file.

        Raises:
            RecipeError: `scale` is not above 0, or so small that a range of ids is empty.
            SearchError: the database does not have a tag of the query.
            InputError: a file of `join` cannot be read.
        """
        check_open(database, "select")
        if not 0 < scale < inf:
            raise RecipeError(
                f"scale must be {'finite' if scale > 0 else 'above 0'}, not {scale}: ids and sizes of samples are multiplied by it"
            )
        self.join_files(database)
        selection = database.posts
        if self.strata:
            selection = reduce(
                or_, (self._stratum(database, stratum.scaled(scale)) for stratum in self.strata)
            )
        for name in self.filter:
            selection = getattr(selection, name)()
        if self.query is not None:
            with self._naming("query"):
                selection = selection.search(self.query, seed=self.seed)
        for number, step in enumerate(self.steps, 1):
            with self._naming(f"steps, step {number}"):
                selection = step.apply(selection, seed=self.seed, scale=scale)
        return selection

    def join_files(self, database: Database) -> None:
        """Join the files of the recipe to a database. A relative path begins at the current folder.

        Raises:
            InputError: a file cannot be read.
        """
        for name, path in self.join.items():
            with self._naming(f"join.{name}"):
                database.join(name, path)

    @property
    def has_sizes(self) -> bool:
        """Whether the recipe has ids, sizes of samples or limits, which a scale multiplies."""
        return bool(self.strata) or any(step.is_scaled for step in self.steps)

    @contextmanager
    def _naming(self, key: str) -> Iterator[None]:
        """Begin the message of an input error in the block with the recipe and one of its keys."""
        try:
            yield
        except InputError as error:
            raise type(error)(f"recipe {self.name}: {key}: {error}") from error

    def with_settings(
        self, overrides: Sequence[str] = (), *, caption: str | CaptionFormat | None = None
    ) -> Recipe:
        """Replace values of the tables `caption`, `image` and `output`, such as `image.format=webp`.

        Args:
            overrides: `section.key=value`; the value is TOML, or a bare word.
            caption: replaces the caption format first.

        Raises:
            RecipeError: an override has another form, or its section is not one of the three.
            InputError: a section has no such key, or the value is wrong.
        """
        chosen = caption if caption is not None else self.caption or "kohaku-epsilon"
        table: dict[str, Any] = {"caption": {"base": chosen}}
        table |= {"image": dict(self.image or {}), "output": dict(self.output or {})}
        for text in overrides:
            section = text.partition("=")[0].partition(".")[0].strip()
            if section not in table:
                mend = nearest(section, table)
                raise RecipeError(f"--set {text}: {section!r} is not a section of settings; {mend}")
            override(table, text, example="image.format=webp", error=RecipeError)
        image_format(table["image"])
        output_format(table["output"])
        is_same = chosen and table["caption"] == {"base": chosen}
        changed = chosen if is_same else caption_format(table["caption"])
        return replace(self, caption=changed, image=table["image"], output=table["output"])

    def caption_format(self) -> CaptionFormat | None:
        """The caption format of the recipe; None if it has none."""
        return None if self.caption is None else caption_format(self.caption)

    def beyond(self, database: Database, *, scale: float = 1) -> int | None:
        """The last id of the recipe's own file, if the database has later posts; else None."""
        if self.last_id is None:
            return None
        end = scaled(self.last_id, scale)
        last = database.scalar("SELECT MAX(id) FROM post")
        return end if last is not None and last >= end else None

    def check(self, database: Database, *, scale: float = 1) -> None:
        """Check that a file has enough ids for the strata of the recipe, by its first and last id.

        Raises:
            RecipeError: a stratum lies beyond the file, or has fewer ids there than its sample; the message suggests
                a scale.
        """
        first, last = database.ends("post")
        if first > last:
            return
        for stratum in (each.scaled(scale) for each in self.strata):
            low, high = stratum.ids
            count = max(0, min(last + 1, high or last + 1) - max(first, low))
            size = stratum.sample if isinstance(stratum.sample, int) else 0
            ids = f"ids from {low:,}" + (" on" if high is None else f" up to {high:,}")
            if high is not None and low < high <= first:
                raise RecipeError(
                    f"{self.name}: {ids} were asked for, and the file begins at id {first:,}; leave that range out"
                )
            if count < size:
                are = "is" if count == 1 else "are"
                problem = f"a sample of {size:,} was asked for, and there {are} {quantity(count, 'post')} at most with {ids}"
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
            return last / scaled(self.last_id, scale)
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
