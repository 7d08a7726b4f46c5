"""How posts are judged: the words and the scale of a part of a caption, published for the 2023 set or measured.

A post is compared with the posts of its rating, with all posts, with those of a window of time around it, or by a rank that
fades with its age. Each of these comes down to a table of numbers by rating, or by rating and month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

import numpy as np

from hakubooru.caption.measuring import (
    Within,
    by_decay,
    by_rating,
    by_window,
    counted,
    joined_numbers,
)  # fmt: skip
from hakubooru.engine.posts import COUNTS
from hakubooru.errors import CaptionFormatError, InputError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, Parse, toml
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakubooru.store.store import Store


@dataclass(frozen=True)
class QualityScale:
    """The numbers at percentiles of posts, for each rating, or for each rating and month."""

    percentiles: tuple[float, ...]
    """The percentiles, ascending, between 0 and 100."""
    values: tuple[tuple[float, ...], ...]
    """The numbers, (ratings, percentiles): general, sensitive, questionable, explicit. With months, (ratings x months,
    percentiles): all months of a rating, then those of the next."""
    months: tuple[str, ...] = ()
    """Months without a gap, such as 2024-05; an earlier post counts as of the first, a later post as of the last."""

    @classmethod
    def from_database(
        cls, database: Store, percentiles: Iterable[float] | None = None, by: str = "fav_count"
    ) -> Self:
        """Measure the scale of a database's posts.

        The value at percentile p is the smallest count that at least p percent of a rating's posts do not exceed.
        The posts are scanned once; memory holds one row for each different count. A rating without posts gets zeros.

        Args:
            database: the posts' database.
            percentiles: the percentiles to measure; by default 5, 10 … 95.
            by: the column to measure.
        """
        wanted = tuple(sorted(percentiles)) if percentiles is not None else PUBLISHED["fav_count"].percentiles
        return cls(wanted, by_rating(counted(database, by), wanted, within="rating"))

    @classmethod
    def from_dict(cls, table: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the scale of a table that `to_dict` wrote: percentiles (as text) and counts for each rating.

        Raises:
            CaptionFormatError: a rating is missing, or the ratings have different percentiles.
        """
        try:
            months = _months_of(table)
            tables = [table[name][month] if month else table[name] for name in RATINGS for month in months]
            rows = [{float(key): _number(value) for key, value in row.items()} for row in tables]
        except KeyError as error:
            raise CaptionFormatError(
                f"caption.quality_scale lacks {error}; it needs {', '.join(RATINGS)}"
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise CaptionFormatError(
                "caption.quality_scale must hold percentiles and counts for each rating, such as "
                f'general = {{"10" = 1, "25" = 3}}: {error}'
            ) from error
        percentiles = tuple(sorted(rows[0]))
        if any(tuple(sorted(row)) != percentiles for row in rows):
            raise CaptionFormatError(
                "caption.quality_scale has different percentiles for its ratings; give every rating the same percentiles"
            )
        values = tuple(tuple(row[p] for p in percentiles) for row in rows)
        return cls(percentiles, values, months if months[0] else ())

    def to_dict(self) -> dict[str, Any]:
        """Return the scale as tables that TOML and JSON can hold."""
        rows = [
            {f"{p:g}": value for p, value in zip(self.percentiles, row, strict=True)} for row in self.values
        ]
        if not self.months:
            return dict(zip(RATINGS, rows, strict=True))
        count = len(self.months)
        by_rating = (rows[start : start + count] for start in range(0, len(rows), count))
        return {
            name: dict(zip(self.months, some, strict=True))
            for name, some in zip(RATINGS, by_rating, strict=True)
        }

    def thresholds(self, percentiles: Sequence[float]) -> tuple[tuple[float, ...], ...]:
        """Return the numbers at some percentiles, in their order, (ratings, percentiles); with months as `values`.

        Raises:
            CaptionFormatError: the scale lacks one of the percentiles.
        """
        for p in percentiles:
            if p not in self.percentiles:
                choices = ", ".join(f"{percentile:g}" for percentile in self.percentiles)
                raise CaptionFormatError(
                    f"caption.quality asks for the percentile {p:g}, but its scale has {choices}: "
                    'choose one of these, or quality_scale = "database"'
                )
        places = [self.percentiles.index(p) for p in percentiles]
        return tuple(tuple(row[i] for i in places) for row in self.values)


def _months_of(table: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The months of a table by rating; one empty text if it has none."""
    first = table[RATINGS[0]]
    return tuple(first) if first and all(isinstance(row, Mapping) for row in first.values()) else ("",)


def _number(value: Any) -> float:
    return value if type(value) in (int, float) else int(value)


_FIVES = tuple(float(p) for p in range(5, 100, 5))

PUBLISHED: Final[dict[str, QualityScale]] = {
    "fav_count": QualityScale(
        _FIVES,
        (
            (1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 22, 27, 37),
            (1, 2, 4, 5, 6, 8, 9, 11, 13, 15, 17, 19, 22, 26, 30, 36, 44, 56, 81),
            (4, 8, 11, 14, 18, 21, 25, 29, 33, 38, 43, 49, 56, 65, 75, 88, 105, 132, 182),
            (4, 9, 13, 18, 22, 27, 33, 39, 45, 52, 60, 69, 79, 92, 106, 125, 151, 190, 262),
        ),
    ),
    "score": QualityScale(
        _FIVES,
        (
            (0, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 11, 12, 14, 16, 19, 24, 33),
            (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 17, 20, 25, 31, 41, 62),
            (2, 4, 5, 7, 9, 11, 14, 16, 19, 23, 26, 31, 36, 42, 49, 59, 73, 93, 134),
            (2, 4, 7, 10, 13, 17, 20, 25, 29, 35, 41, 48, 56, 66, 78, 94, 115, 148, 211),
        ),
    ),
}
"""Percentiles of the 2023 set, all posts, as HakuBooru 0.0.3 published them (`metainfo.py`)."""


QualityLabels: TypeAlias = tuple[tuple[str, float], ...]
"""Labels, each with the percentile or value that a post must exceed for it, descending."""


def parse_labels(value: Any, place: str, words: str) -> list[tuple[str, Any]]:
    """Read labels and numbers from a table, or from pairs; every number once.

    Raises:
        InputError: the value is neither, or has a number twice.
    """
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    try:
        pairs = [(str(label), number + 0) for label, number in pairs]
    except (TypeError, ValueError):
        raise InputError(f"{place} = {toml(value)}; write a table of {words}") from None
    numbers = [number for _, number in pairs]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{place} has a number twice ({toml(numbers)}); give each label a number of its own")
    return pairs


def _labels(value: Any, place: str) -> QualityLabels:
    pairs = parse_labels(value, place, 'labels and numbers, such as {masterpiece = 90, "worst quality" = 0}')
    if any(not -1e300 < number < 1e300 for _, number in pairs):
        raise InputError(f"{place} = {toml(value)}; write finite numbers")
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _scale(value: Any, place: str) -> str | QualityScale:
    if isinstance(value, Mapping):
        return QualityScale.from_dict(value)
    if isinstance(value, QualityScale) or (isinstance(value, str) and value in _SCALES):
        return value
    raise InputError(
        f'{place} = {toml(value)}; write "published", "database", "values", or a table of counts by rating'
    )


_SCALES: Final = ("published", "database", "values")
Labels: TypeAlias = Annotated[QualityLabels, Parse(_labels)]
Scale: TypeAlias = Annotated[Literal["published", "database", "values"] | QualityScale, Parse(_scale)]


@dataclass(frozen=True, kw_only=True)
class Grades:
    """How a part of a caption judges posts: its words, the number that counts, and what a post is compared with."""

    labels: Labels
    """Words, each with the percentile that a post must exceed; the word at 0 is for all other posts. An empty word writes
    nothing. With the scale `values`, each word has the number itself that a post must exceed."""
    by: str = "fav_count"
    """The number that counts: `fav_count`, `score`, or a joined column. A post that has none gets no word."""
    scale: Scale = "published"
    """Where the numbers at the percentiles come from: `published` for the 2023 set, measured in the `database`, or `values`:
    the labels name the numbers themselves."""
    within: Within = "rating"
    """The posts that a post is compared with: those of its `rating`, or `all`."""
    months: Annotated[int | None, Bounds(1)] = None
    """The width in months of a window around a post's own month: it is compared with the posts uploaded in it. Needs the scale
    `database`."""
    half_life: Annotated[float | None, Bounds(0.01)] = None
    """The years in which a post's rank fades to half: ranks within the rating, from 0 to 1, are multiplied by it, and the
    percentiles are those of the products over all posts. Age counts from the month of the newest post. Needs the scale
    `database`."""
    last_id: Annotated[int | None, Bounds(1)] = None
    """Posts above this id are too young to be judged; they get no word."""

    def check(self, prefix: str) -> None:
        """Check that the fields go together.

        Args:
            prefix: the beginning of their names in messages, such as `caption.quality_`.

        Raises:
            CaptionFormatError: they do not.
        """
        if self.scale != "values":
            for label, percentile in self.labels:
                if not 0 <= percentile < 100:
                    place = prefix.rstrip("_") if prefix.endswith("_") else f"{prefix}labels"
                    raise CaptionFormatError(
                        f"{place}.{label} = {percentile}; write a percentile from 0 up to 100"
                    )
        if self.months and self.half_life:
            raise CaptionFormatError(
                f"{prefix}months and {prefix}half_life exclude each other; leave one of them out"
            )
        for field in ("months", "half_life"):
            if getattr(self, field) and isinstance(self.scale, str) and self.scale != "database":
                raise CaptionFormatError(f'{prefix}{field} needs {prefix}scale = "database"')
        if self.scale == "published" and (self.by not in COUNTS or self.within == "all"):
            raise CaptionFormatError(
                f"{prefix}scale: percentiles were published for {' and '.join(COUNTS)}, within each rating; "
                f'write {prefix}scale = "database"'
            )

    def thresholds(self) -> tuple[tuple[float, ...], ...]:
        """Return the numbers that a post must exceed for each word, ascending, (ratings or ratings x months, words).

        The scale must not be `database`: measure it first.

        Raises:
            CaptionFormatError: the scale lacks a percentile of the labels.
        """
        if self.scale == "values":
            return (tuple(number for _, number in reversed(self.labels)),) * len(RATINGS)
        scale = PUBLISHED[self.by] if self.scale == "published" else self.scale
        assert isinstance(scale, QualityScale)
        return scale.thresholds([p for _, p in reversed(self.labels) if p > 0])

    def measured(self, database: Store, prefix: str) -> Scale:
        """Return the scale for the posts of a database, measured where it is to be.

        The published scale is Danbooru's; for another site it is measured.

        Args:
            database: the posts.
            prefix: the beginning of the fields' names in messages, such as `caption.quality_`.

        Raises:
            CaptionFormatError: the number that counts is neither a count that the file has nor a joined column of numbers.
        """
        about = database.about
        if self.by in about.lacking:
            raise CaptionFormatError(
                f"the caption format has quality words by {self.by}, and {database.path} has no {self.by}: take them out of "
                f"caption.order, or set {prefix}by to a count that the file has"
            )
        if self.by not in COUNTS:
            check_column(database, f"{prefix}by", self.by, number=True)
        if self.scale != "database" and (self.scale != "published" or about.site.quality_scale):
            return self.scale
        percentiles = tuple(sorted(p for _, p in self.labels if p > 0))
        by_month = bool(self.months or self.half_life)
        if self.by in COUNTS:
            posts = counted(database, self.by, by_month=by_month)
        else:
            posts = joined_numbers(database, self.by)
        if not by_month:
            return QualityScale(percentiles, by_rating(posts, percentiles, within=self.within))
        posts = posts.take(np.flatnonzero(posts.months >= 0))
        if not len(posts.months):
            return QualityScale(percentiles, by_rating(posts, percentiles, within=self.within))
        months = range(int(posts.months.min()), int(posts.months.max()) + 1)
        if self.months:
            rows = by_window(posts, percentiles, months, self.months, within=self.within)
        else:
            assert self.half_life is not None
            rows = by_decay(posts, percentiles, months, self.half_life, within=self.within)
        names = tuple(f"{month // 12:04d}-{month % 12 + 1:02d}" for month in months)
        return QualityScale(percentiles, rows, names)


def check_column(database: Store, place: str, name: str, *, number: bool) -> None:
    """Check that a column is joined, and that it has numbers or texts.

    Raises:
        CaptionFormatError: it is not, or has not; the message names `place`.
    """
    columns = database.joined_columns
    choices = [*(COUNTS if number else ()), *columns]
    if name not in columns:
        known = f"; {nearest(name, choices)}" if choices else ""
        raise CaptionFormatError(
            f'{place} = "{name}" is not a column of the posts; join its file: '
            f"--join {name.partition('.')[0]}=FILE{known}"
        )
    if columns[name].is_number != number:
        kinds = ("texts", "numbers") if number else ("numbers", "texts")
        raise CaptionFormatError(f'{place} = "{name}" has {kinds[0]}; name a column of {kinds[1]}')
