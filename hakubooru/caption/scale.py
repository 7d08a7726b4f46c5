"""Quality scales: the numbers of posts at percentiles, published for the 2023 set or measured.

A post is compared with the posts of its rating, with all posts, with those of a window of time around it, or by a rank that
fades with its age. Each of these comes down to a table of numbers by rating, or by rating and month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, TypeAlias

import numpy as np

from hakubooru.errors import CaptionFormatError
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakubooru.store.store import Store

Numbers: TypeAlias = "np.ndarray[Any, Any]"
Within: TypeAlias = Literal["rating", "all"]

_POSTS_A_READ: Final = 100_000


COUNTS: Final = ("fav_count", "score")
"""The columns of a post that it can be judged by; other columns are those of joined files."""


def column_sql(database: Store, name: str) -> str:
    """The SQL of a value of a row of `post`: of its own column, or of a joined one; NULL where a post has none."""
    if name in COUNTS:
        return f"post.{name}"
    column = database.joined_columns[name]
    quoted = column.name.replace('"', '""')
    return f'(SELECT "{quoted}" FROM {column.joined.schema}.rows WHERE id = post.id)'


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


def month_of(day: str) -> int:
    """The month of a day such as `2005-05-23`, counted from the year 0; -1 if the text does not begin with one."""
    year, month = day[:4], day[5:7]
    if day[4:5] != "-" or not (year + month).isdecimal() or not 1 <= int(month) <= 12:
        return -1
    return int(year) * 12 + int(month) - 1


class Posts(NamedTuple):
    """Columns of posts to measure; a row may stand for several posts that are alike."""

    ratings: Numbers
    months: Numbers
    numbers: Numbers
    weights: Numbers

    def take(self, places: Numbers) -> Posts:
        """Return the rows at some places."""
        return Posts(*(column[places] for column in self))


def counted(database: Store, by: str, *, by_month: bool = False) -> Posts:
    """Read how many posts have each rating and count, and month if asked; posts without the count are left out."""
    month = "substr(created_at, 1, 7)" if by_month else "''"
    column = column_sql(database, by)
    rows = database.rows(
        f"SELECT rating, {month}, {column}, COUNT(*) FROM post WHERE rating BETWEEN 0 AND {len(RATINGS) - 1} "
        f"AND {column} IS NOT NULL GROUP BY 1, 2, 3"
    )
    return _posts_of(rows)


def joined_numbers(database: Store, by: str) -> Posts:
    """Read a joined column of all posts, one row for each; posts that have no number are left out."""
    parts = [_posts_of([])]
    statement = (
        "SELECT rating, coalesce(substr(created_at, 1, 7), ''), number, 1, id FROM ("
        f"SELECT id, rating, created_at, {column_sql(database, by)} AS number FROM post WHERE id > ?) "
        f"WHERE number IS NOT NULL AND rating BETWEEN 0 AND {len(RATINGS) - 1} ORDER BY id LIMIT {_POSTS_A_READ}"
    )
    last = -1
    while rows := database.rows(statement, [last]):
        parts.append(_posts_of([row[:4] for row in rows]))
        last = rows[-1][4]
    return Posts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _posts_of(rows: list[Any]) -> Posts:
    """Columns of rows of rating, month as text, number and weight."""
    ratings, months, numbers, weights = zip(*rows, strict=True) if rows else ((), (), (), ())
    numbered = {text: month_of(f"{text}-01") for text in {*months}}
    whole = (np.array(column, np.int64) for column in (ratings, [numbered[text] for text in months], weights))
    return Posts(
        next(whole), next(whole), np.array(numbers) if numbers else np.empty(0, np.int64), next(whole)
    )


def by_rating(posts: Posts, percentiles: Sequence[float], *, within: Within) -> tuple[tuple[float, ...], ...]:
    """The numbers at percentiles of each rating's posts, or of all posts, (ratings, percentiles)."""
    return tuple(_at(group, percentiles) for group in _groups(posts, within))


def by_window(
    posts: Posts, percentiles: Sequence[float], months: range, width: int, *, within: Within
) -> tuple[tuple[float, ...], ...]:
    """The numbers at percentiles of the posts around each month, (ratings x months, percentiles).

    Args:
        posts: the posts, each with a month.
        percentiles: the percentiles.
        months: the months to look at, without a gap.
        width: the window: this many months, of which the month itself is the middle one, or the first after the middle.
        within: compare with posts of the same rating, or with all.
    """
    rows = []
    for group in _groups(posts, within):
        ordered = group.take(np.argsort(group.months, kind="stable"))
        firsts = np.array(months) - width // 2
        starts, ends = (np.searchsorted(ordered.months, bounds) for bounds in (firsts, firsts + width))
        rows += [
            _at(ordered.take(np.arange(start, end)), percentiles)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
    return tuple(rows)


def by_decay(
    posts: Posts,
    percentiles: Sequence[float],
    months: range,
    half_life: float,
    *,
    within: Within,
) -> tuple[tuple[float, ...], ...]:
    """The numbers by rating and month at percentiles of ranks that fade, (ratings x months, percentiles).

    A post's product is rank x fade. It exceeds a limit if its rank exceeds limit / fade, which gives a threshold of its own
    number in each month.
    """
    fades = 0.5 ** ((months[-1] - np.array(months)) / (12 * half_life))  # (M,)
    ranks = [_ranks(group) for group in _groups(posts, within)]
    products, weights = [], []
    for rating, (numbers, shares) in enumerate(ranks):
        some = posts.take(np.flatnonzero(posts.ratings == rating))
        rank = shares[np.searchsorted(numbers, some.numbers)]
        products.append(rank * fades[some.months - months[0]])
        weights.append(some.weights)
    limits = _quantiles(np.concatenate(products), np.concatenate(weights), percentiles)
    rows = []
    for numbers, shares in ranks:
        if not len(numbers):
            rows += [(0,) * len(percentiles)] * len(months)
            continue
        # The numbers from below all of them: one that no rank reaches is the last, one that all exceed the first.
        steps = np.concatenate([[numbers[0] - 1], numbers])
        places = np.searchsorted(shares, limits / fades[:, None], side="right")  # (M, percentiles)
        rows += [tuple(row) for row in steps[places].tolist()]
    return tuple(rows)


def _ranks(posts: Posts) -> tuple[Numbers, Numbers]:
    """The different numbers of posts, ascending, (N,), and which share of the posts does not exceed each, (N,)."""
    numbers, places = np.unique(posts.numbers, return_inverse=True)
    counts = np.bincount(places, weights=posts.weights, minlength=len(numbers))
    return numbers, np.cumsum(counts) / max(counts.sum(), 1)


def _groups(posts: Posts, within: Within) -> list[Posts]:
    """The posts that those of each rating are compared with."""
    if within == "all":
        return [posts] * len(RATINGS)
    return [posts.take(np.flatnonzero(posts.ratings == rating)) for rating in range(len(RATINGS))]


def _at(posts: Posts, percentiles: Sequence[float]) -> tuple[float, ...]:
    return tuple(_quantiles(posts.numbers, posts.weights, percentiles).tolist())


def _quantiles(numbers: Numbers, weights: Numbers, percentiles: Sequence[float]) -> Numbers:
    """The smallest number at each percentile that at least so many percent do not exceed, (P,); zeros without numbers."""
    if not len(numbers):
        return np.zeros(len(percentiles), np.int64)
    order = np.argsort(numbers, kind="stable")
    passed = np.cumsum(weights[order])
    places = np.searchsorted(passed, [passed[-1] * p / 100 for p in percentiles], side="left")
    return np.asarray(numbers[order][places])


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
