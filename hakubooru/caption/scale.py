"""What a favourite count is worth within its rating: percentiles, published or measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from hakubooru.errors import CaptionFormatError
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakubooru.store.store import Store

Measure: TypeAlias = Literal["fav_count", "score"]
"""The column of a post that its quality is judged by."""


@dataclass(frozen=True)
class QualityScale:
    """The counts that stand at percentiles of posts, for each rating."""

    percentiles: tuple[float, ...]
    """Ascending, between 0 and 100."""
    values: tuple[tuple[int, ...], ...]
    """(ratings, percentiles): general, sensitive, questionable, explicit."""

    @classmethod
    def from_database(
        cls, database: Store, percentiles: Iterable[float] | None = None, by: Measure = "fav_count"
    ) -> Self:
        """Measure a file: the smallest count that at least so many percent of a rating's posts do not pass.

        Scans the posts once and keeps one row for each different count. A rating without posts gets zeros.

        Args:
            database: the file.
            percentiles: which; 5, 10 … 95 when not given.
            by: the column.
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
        """The scale that `to_dict` wrote: a table of percentiles (as text) and counts for each rating.

        Raises:
            CaptionFormatError: a rating is missing, or they do not have the same percentiles.
        """
        try:
            rows = [{float(key): int(value) for key, value in table[name].items()} for name in RATINGS]
        except KeyError as error:
            raise CaptionFormatError(
                f"`quality_scale` lacks {error}; it needs {', '.join(RATINGS)}"
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise CaptionFormatError(
                "`quality_scale` must hold percentiles and counts for each rating, such as "
                f'general = {{"10" = 1, "25" = 3}}: {error}'
            ) from error
        percentiles = tuple(sorted(rows[0]))
        if any(tuple(sorted(row)) != percentiles for row in rows):
            raise CaptionFormatError(
                "`quality_scale` has different percentiles for its ratings; give each the same"
            )
        return cls(percentiles, tuple(tuple(row[p] for p in percentiles) for row in rows))

    def to_dict(self) -> dict[str, dict[str, int]]:
        """As tables that TOML and JSON can hold."""
        return {
            name: {f"{p:g}": value for p, value in zip(self.percentiles, row, strict=True)}
            for name, row in zip(RATINGS, self.values, strict=True)
        }

    def thresholds(self, percentiles: Iterable[float]) -> tuple[tuple[int, ...], ...]:
        """(ratings, percentiles): the counts at the given percentiles, in the given order.

        Raises:
            CaptionFormatError: the scale does not have one of them.
        """
        wanted = list(percentiles)
        for p in wanted:
            if p not in self.percentiles:
                known = ", ".join(f"{known:g}" for known in self.percentiles)
                raise CaptionFormatError(
                    f"`quality` asks for the percentile {p:g}, and its scale has {known}: "
                    'choose one of these, or quality_scale = "database"'
                )
        places = [self.percentiles.index(p) for p in wanted]
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
