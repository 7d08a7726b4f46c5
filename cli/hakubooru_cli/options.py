"""The arguments and options by which several commands select posts."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

import hakubooru as hb
from hakubooru.errors import SampleError
from hakubooru.quantity import quantity
from hakubooru.select.danbooru import caveats, parse
from hakubooru_cli.query_command import SelectionOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_GROUP = re.compile(r"([^:]+):([0-9]+)(:strict)?")


class Group(NamedTuple):
    """A value of --sample-per: at most so many posts of each group."""

    by: str
    at_most: int
    strict: bool = False


class Weighted(NamedTuple):
    """A value of --sample-weighted: so many posts, with a column as the weight."""

    column: str
    posts: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The values of FILE [QUERY] and the options that select posts."""

    file: str
    """The path of the database."""
    query: str | None
    """The search, or None."""
    recipe: hb.Recipe | None
    """The recipe, or None."""
    join: tuple[tuple[str, str], ...]
    """The names and paths of files of values by post id."""
    ids: str | None
    """The path of a list of ids, or None."""
    scale: float
    """The factor for the recipe's id bounds and sample sizes."""
    implications: bool = False
    """Whether a tag of the query also means the tags that imply it."""
    sample_per: tuple[Group, ...] = ()
    """The balanced samples, in their order."""
    sample_weighted: Weighted | None = None
    """The weighted sample, or None."""
    sample: int | float | None = None
    """The number of posts to draw, or the fraction of them; None draws none."""
    order: str | None = None
    """The columns to sort by, separated by commas, or None."""
    limit: int | None = None
    """How many posts to keep; None keeps all."""
    seed: int | None = None
    """The seed of the samples, and of `random:` in the query; None is the recipe's, or else 0."""

    def select(self, database: hb.Database) -> hb.Selection:
        """Return the posts that the options select; print notes on the way.

        The posts of the recipe are narrowed by the query and the list of ids, then sampled, sorted and cut off.
        """
        self.join_files(database, of_recipe=False)  # which joins its own, and each is read whole for its hash
        selection = database.posts
        if self.recipe is not None:
            selection = self.recipe.select(database, scale=self.scale)
            self.recipe.check(database, scale=self.scale)
            self._warn_of_newer_file(database, self.recipe)
        for query in (self.recipe.query if self.recipe is not None else None, self.query):
            for caveat in caveats(parse(query or "", None)):
                click.echo(f"note: {caveat}", err=True)
        if self.query:
            selection = selection.search(self.query, implications=self.implications, seed=self._seed)
        if self.ids:
            selection = _among(database, selection, self.ids)
        for name, joined in database.joined.items():
            ids = database.cache.columns.ids
            known = joined.count(database.connection(), ids)
            click.echo(
                f"note: {known:,} of {quantity(len(ids), 'post')} of the file {'has' if known == 1 else 'have'} a row of {name}",
                err=True,
            )
        return self._narrow(selection)

    def join_files(self, database: hb.Database, *, of_recipe: bool = True) -> None:
        """Join the files of the options, and those of the recipe if they are wanted."""
        for name, path in self.join:
            database.join(name, path)
        if self.recipe is not None and of_recipe:
            self.recipe.join_files(database)

    def settings(self, overrides: Sequence[str], caption: str | None) -> hb.Recipe:
        """Return the recipe, or an empty one, with a caption format and the values of --set."""
        return (self.recipe or hb.Recipe(name=self.name)).with_settings(overrides, caption=caption)

    def check(self) -> None:
        """Check that every option has an effect.

        Raises:
            click.UsageError: an option has none; the message says what it is for.
        """
        if self.scale != 1 and self.recipe is None:
            raise click.UsageError("--scale multiplies the bounds of a recipe; add --recipe")
        if self.scale != 1 and self.recipe is not None and not self.recipe.has_sizes:
            raise click.UsageError(
                f"--scale multiplies the ids, sizes of samples and limits of a recipe, and {self.recipe.name} has none; "
                "leave --scale out"
            )
        if self.seed is not None and not self.draws:
            mend = "leave --seed out, or add a sample"
            if self.recipe is not None:
                mend = "change the seed of a recipe's own samples in its file"
            raise click.UsageError(
                f"--seed is for --sample, --sample-per, --sample-weighted and random: in QUERY; {mend}"
            )
        if self.implications and not self.query:
            raise click.UsageError("--implications is for the tags of QUERY; add QUERY, or leave it out")

    @property
    def draws(self) -> bool:
        """Whether the options draw posts at random, beside what the recipe draws."""
        samples = self.sample_per, self.sample_weighted, self.sample is not None
        return any(samples) or "random" in (self.query or "").lower()

    @property
    def _seed(self) -> int:
        if self.seed is not None:
            return self.seed
        return self.recipe.seed if self.recipe is not None else 0

    def _narrow(self, selection: hb.Selection) -> hb.Selection:
        seed = self._seed
        for by, at_most, strict in self.sample_per:
            selection = selection.sample_per(by, at_most=at_most, strict=strict, seed=seed)
        if self.sample_weighted is not None:
            selection = selection.sample_weighted(*self.sample_weighted, seed=seed)
        if isinstance(self.sample, float):
            selection = selection.sample(fraction=self.sample, seed=seed)
        elif self.sample is not None:
            selection = selection.sample(self.sample, seed=seed)
        if self.order is not None:
            selection = selection.order_by(*(term.strip() for term in self.order.split(",")))
        return selection if self.limit is None else selection.limit(self.limit)

    @property
    def name(self) -> str:
        """The name for files of the selection: the recipe's, or else the database's."""
        return self.recipe.name if self.recipe is not None else Path(self.file).stem

    @property
    def selects(self) -> bool:
        """Whether a query, a recipe or an option selects posts."""
        return any(_is_given(value) for key, value in self.asked().items() if key != "scale")

    @property
    def narrows(self) -> bool:
        """Whether a query or an option narrows the posts of the recipe, or else of the database."""
        return replace(self, recipe=None, join=()).selects

    def asked(self) -> dict[str, Any]:
        """Return the options that select posts as a table that JSON can hold."""
        table = {key: value for key, value in asdict(self).items() if key != "file"}
        if self.recipe is not None:
            # A lock keeps the resolved caption format, so the recipe's own would be a second copy.
            del table["recipe"]["caption"], table["recipe"]["description"]
        # What was not asked is left out, so that locks of earlier versions compare as equal.
        rare = ("implications", "join", "sample_per", "sample_weighted", "sample", "order", "limit", "seed")
        return {key: value for key, value in table.items() if key not in rare or _is_given(value)}

    def _warn_of_newer_file(self, database: hb.Database, recipe: hb.Recipe) -> None:
        end = recipe.beyond(database, scale=self.scale)
        if end is not None:
            click.echo(
                f"note: {recipe.name} was made for a file that ends near id {end:,}, but this file has later posts; "
                f'to repeat the original selection, add the query "id:<{end}"',
                err=True,
            )


def _among(database: hb.Database, selection: hb.Selection, path: str) -> hb.Selection:
    """Narrow a selection to a list of ids; say how many of these are of no post of the database."""
    ids = np.unique(hb.read_ids(path))
    if unknown := len(ids) - database.posts.among(ids).count():
        are = "is" if unknown == 1 else "are"
        click.echo(
            f"note: {unknown:,} of {quantity(len(ids), 'id')} in {path} {are} of no post of the file",
            err=True,
        )
    return selection.among(ids)


def _is_given(value: object) -> bool:
    """Whether an option was given; a number was, also 0 and 1, which equal False and True."""
    return value is not None and value is not False and value != ()


def _group(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[Group, ...]:
    matches = [_GROUP.fullmatch(value) for value in values]
    for value, match in zip(values, matches, strict=True):
        if match is None:
            raise click.BadParameter(f"{value!r}; write BY:N or BY:N:strict, such as character:200")
    return tuple(Group(match[1], int(match[2]), bool(match[3])) for match in matches if match)


def _join(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [value.partition("=") for value in values]
    for value, (name, _mark, path) in zip(values, pairs, strict=True):
        if not name or not path:
            raise click.BadParameter(f"{value!r}; write NAME=FILE, such as silva=scores.parquet")
    return tuple((name, path) for name, _mark, path in pairs)


def _weighted(_: click.Context, __: click.Parameter, value: str | None) -> Weighted | None:
    match = _GROUP.fullmatch(value or "")
    if value is not None and (match is None or match[3]):
        raise click.BadParameter(f"{value!r}; write COLUMN:N, such as score:1000")
    return Weighted(match[1], int(match[2])) if match else None


def _sample(_: click.Context, __: click.Parameter, value: str | None) -> int | float | None:
    if value is None:
        return None
    if value.isdecimal():
        return int(value)
    try:
        share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r}; write a number of posts, or a part of them such as 0.5 or 50%")
    return share


_selecting = partial(click.option, cls=SelectionOption)
_OPTIONS = (
    _selecting(
        "--recipe",
        metavar="R",
        help=f"A recipe: {', '.join(hb.shipped_recipes())}, or a TOML file.",
    ),
    _selecting(
        "--ids",
        metavar="F",
        type=click.Path(),
        help="A file of post ids: text with one a line, CSV or Parquet with a column id.",
    ),
    _selecting(
        "--join",
        metavar="NAME=FILE",
        multiple=True,
        callback=_join,
        help="Join values by post id: Parquet, CSV or JSON lines with a column post_id or id, or a tar of ID.txt, as in "
        "silva=scores.parquet. Then QUERY may have silva:>0.6 and order:silva.",
    ),
    _selecting("--scale", type=float, default=1, help="Multiply the recipe's id bounds and sample sizes."),
    _selecting(
        "--sample-per",
        metavar="BY:N",
        multiple=True,
        callback=_group,
        help="Draw at most N posts of each character, artist, copyright, rating or year, as in character:200. A post "
        "of two characters may be drawn for either; with character:200:strict it counts for both. A post without a "
        "character is left out.",
    ),
    _selecting(
        "--sample-weighted",
        metavar="COLUMN:N",
        callback=_weighted,
        help="Draw N posts with a column as their weight, as in score:1000.",
    ),
    _selecting(
        "--sample",
        metavar="N",
        callback=_sample,
        help="Draw N posts, or a part of them such as 0.5 or 50%.",
    ),
    _selecting(
        "--order",
        metavar="A,B",
        help="Sort the posts by columns; a minus means from the greatest down, as in -score,id.",
    ),
    _selecting("--limit", type=click.IntRange(min=0), help="Keep the first posts of the order."),
    _selecting(
        "--implications",
        is_flag=True,
        help="Let a tag of QUERY also mean the tags that imply it.",
    ),
    _selecting(
        "--seed",
        type=int,
        help="The seed of these samples and of random: in QUERY; by default the recipe's, or else 0. A recipe's own samples keep "
        "the recipe's.",
    ),
)


settings_option = click.option(
    "--set",
    "overrides",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="Replace a setting of the recipe, such as image.format=webp, output.sink=folder or caption.max_tags=60.",
)
"""The option --set, which a command gets as `overrides`."""
index_option = click.option(
    "--index",
    metavar="PLACE",
    multiple=True,
    help="A folder or URL that holds the indexes of tars, if they are not beside the tars. You may give several.",
)
"""The option --index."""


def selection_options(command: Callable[..., None], *, needs_file: bool = True) -> Callable[..., None]:
    """Add FILE [QUERY] and the options that select posts to a command, which gets them as its first argument, a `Choice`.

    The command must be a `QueryCommand`, because a query may begin with a minus.

    Args:
        command: the command's function.
        needs_file: whether FILE must be given; else it is "" without one.
    """
    names = [field.name for field in fields(Choice)]

    @wraps(command)
    def with_choice(**options: Any) -> None:
        recipe = options["recipe"]
        options["recipe"] = hb.Recipe.load(recipe) if recipe else None
        choice = Choice(**{name: options.pop(name) for name in names})
        if choice.file:  # without it, the command says what is missing
            choice.check()
        try:
            command(choice, **options)
        except SampleError as error:
            if choice.recipe is None or choice.sample is not None or choice.sample_weighted is not None:
                raise
            raise SampleError(f"recipe {choice.recipe.name}: {error} (--scale)") from error

    for option in reversed(_OPTIONS):
        with_choice = option(with_choice)
    with_choice = click.argument("query", required=False)(with_choice)
    # A default of None, if it is given, counts as a value: then nothing would be required.
    default: dict[str, Any] = {} if needs_file else {"default": ""}
    file = click.argument("file", type=click.Path(), required=needs_file, **default)
    return file(with_choice)


def note_types(database: hb.Database, shape: hb.CaptionFormat) -> None:
    """Say what becomes of the tags of the database's site that have no part of their own in captions."""
    if note := shape.without_part(database.about.site):
        click.echo(f"note: in captions of {database.about.site.title}, {note}", err=True)
