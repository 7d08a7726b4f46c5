"""Labels of a post's rating, date and quality: from its columns, a number of it, or a joined column."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from hakubooru.caption.scale import (
    COUNTS,
    PUBLISHED,
    QualityScale,
    Within,
    by_decay,
    by_rating,
    by_window,
    counted,
    joined_numbers,
    month_of,
)  # fmt: skip
from hakubooru.errors import CaptionFormatError, InputError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, Parse, toml
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.caption.scale import Numbers
    from hakubooru.store.store import Store

YearLabels: TypeAlias = tuple[tuple[str, int], ...]
"""Labels, each with the last upload year that it stands for, ascending."""


FIRST_YEAR = 2005
"""The year Danbooru opened; a post with an earlier date counts as undated."""

YEARS: Final = range(FIRST_YEAR, 2100)
"""The years that `year_label` can write."""


class RatingLabels(NamedTuple):
    """The labels of each rating: one word, several, or none."""

    general: tuple[str, ...] = ("safe",)
    sensitive: tuple[str, ...] = ("sensitive",)
    questionable: tuple[str, ...] = ("nsfw",)
    explicit: tuple[str, ...] = ("nsfw", "explicit")


def upload_year(day: str) -> int | None:
    """Return the year of a day as Danbooru writes it (`2005-05-23`); None if the text is not a day since 2005."""
    try:
        year = dt.date.fromisoformat(day).year
    except ValueError:
        return None
    return year if year >= FIRST_YEAR else None


def date_label(year: int | None, labels: YearLabels, undated: str) -> str:
    """Return the label of an upload year: the first label whose last year is not before it.

    Args:
        year: the upload year; None if the date cannot be read.
        labels: labels with their last years, ascending.
        undated: the label if `year` is None.

    Returns:
        the label; "" for a year after all of them.
    """
    if year is None:
        return undated
    return next((label for label, last in labels if year <= last), "")


def day_label(day: str, labels: YearLabels, undated: str) -> str:
    """Return the label of a day's year, as `date_label` does."""
    return date_label(upload_year(day), labels, undated)


def year_label(day: str, before: str) -> str:
    """Return a day's upload year with a text before it; "" for a day that cannot be read, or beyond `YEARS`."""
    year = upload_year(day)
    return f"{before}{year}" if year in YEARS else ""


def quality_label(count: int, thresholds: Sequence[int], labels: Sequence[str]) -> str:
    """Return the label of a favourite count or score; a label stands for the counts *above* its threshold.

    Args:
        count: the post's favourite count or score.
        thresholds: the thresholds, ascending, one fewer than labels.
        labels: the labels from the lowest, which has no threshold, to the highest.
    """
    return labels[bisect.bisect_left(thresholds, count)]


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


class Judge:
    """Judges posts by resolved grades: finds the place of each post's word among the words."""

    def __init__(self, grades: Grades) -> None:
        scale = grades.scale
        has_lowest = grades.scale != "values" and any(p == 0 for _, p in grades.labels)
        self.words = [*([] if has_lowest else [""]), *(label for label, _ in reversed(grades.labels))]
        """The words, from the lowest; the first may be empty."""
        self.months = scale.months if isinstance(scale, QualityScale) else ()
        """The months of the scale; empty if dates do not count."""
        self._grades = grades
        self._thresholds = np.array(grades.thresholds())

    def __call__(self, ids: Numbers, ratings: Numbers, numbers: Numbers, months: Numbers | None) -> Numbers:
        """Return the place of each post's word in `words`, (P,) int64; -1 for a post that is not judged.

        Args:
            ids: the posts, (P,).
            ratings: their ratings, (P,).
            numbers: the numbers that count, (P,); NaN for a post that has none.
            months: their months since the year 0, (P,); -1 without a date. Needed if the scale has months.
        """
        is_judged = (ratings >= 0) & (ratings < len(RATINGS)) & (numbers == numbers)  # noqa: PLR0124 - NaN
        if self._grades.last_id is not None:
            is_judged &= ids <= self._grades.last_id
        groups = np.where(is_judged, ratings, 0)
        if self.months:
            assert months is not None
            is_judged &= months >= 0
            first = month_of(self.months[0])
            groups = groups * len(self.months) + np.clip(months - first, 0, len(self.months) - 1)
        # A word stands for numbers above its threshold, so a number equal to it gets the word below.
        places = (numbers[:, None] > self._thresholds[groups]).sum(axis=1)
        return np.where(is_judged, places, -1)
