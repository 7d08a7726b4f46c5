"""Labels of a post's rating, date and quality, and the scales that quality is judged by."""

from __future__ import annotations

import bisect
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

from hakubooru.errors import CaptionFormatError
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hakubooru.store.store import Store

YearLabels: TypeAlias = tuple[tuple[str, int], ...]
"""Labels, each with the last upload year that it stands for, ascending."""

QualityLabels: TypeAlias = tuple[tuple[str, float], ...]
"""Labels, each with the percentile that a post must exceed for it, descending."""

FIRST_YEAR = 2005
"""The year Danbooru opened; a post with an earlier date counts as undated."""


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


def quality_label(count: int, thresholds: Sequence[int], labels: Sequence[str]) -> str:
    """Return the label of a favourite count or score; a label stands for the counts *above* its threshold.

    Args:
        count: the post's favourite count or score.
        thresholds: the thresholds, ascending, one fewer than labels.
        labels: the labels from the lowest, which has no threshold, to the highest.
    """
    return labels[bisect.bisect_left(thresholds, count)]


Measure: TypeAlias = Literal["fav_count", "score"]
"""The column of a post that its quality is judged by."""


@dataclass(frozen=True)
class QualityScale:
    """The favourite counts, or scores, at percentiles of posts, for each rating."""

    percentiles: tuple[float, ...]
    """The percentiles, ascending, between 0 and 100."""
    values: tuple[tuple[int, ...], ...]
    """The counts, (ratings, percentiles): general, sensitive, questionable, explicit."""

    @classmethod
    def from_database(
        cls, database: Store, percentiles: Iterable[float] | None = None, by: Measure = "fav_count"
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
        column = {"fav_count": "fav_count", "score": "score"}[by]
        values = []
        for rating in range(len(RATINGS)):
            counts = database.rows(
                f"SELECT {column}, COUNT(*) FROM post WHERE rating = ? GROUP BY {column} ORDER BY {column}",
                [rating],
            )
            values.append(tuple(_values_at(counts, wanted)))
        return cls(wanted, tuple(values))

    @classmethod
    def from_dict(cls, table: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the scale of a table that `to_dict` wrote: percentiles (as text) and counts for each rating.

        Raises:
            CaptionFormatError: a rating is missing, or the ratings have different percentiles.
        """
        try:
            rows = [{float(key): int(value) for key, value in table[name].items()} for name in RATINGS]
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
        return cls(percentiles, tuple(tuple(row[p] for p in percentiles) for row in rows))

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Return the scale as tables that TOML and JSON can hold."""
        return {
            name: {f"{p:g}": value for p, value in zip(self.percentiles, row, strict=True)}
            for name, row in zip(RATINGS, self.values, strict=True)
        }

    def thresholds(self, percentiles: Sequence[float]) -> tuple[tuple[int, ...], ...]:
        """Return the counts at some percentiles, in their order, (ratings, percentiles).

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


def _values_at(counts: list[tuple[int, int]], percentiles: Iterable[float]) -> Iterable[int]:
    total = sum(posts for _, posts in counts)
    rows = iter(counts)
    value = passed = 0
    for percentile in percentiles:
        while passed < total * percentile / 100:
            value, posts = next(rows)
            passed += posts
        yield value


_FIVES = tuple(float(p) for p in range(5, 100, 5))

PUBLISHED: Final[dict[Measure, QualityScale]] = {
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
