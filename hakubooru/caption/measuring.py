"""Measure the numbers of a database's posts at percentiles: of a rating, of a window of time, or of ranks that fade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from hakubooru.engine.posts import column_sql
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.store.store import Store

Numbers: TypeAlias = "np.ndarray[Any, Any]"
Within: TypeAlias = Literal["rating", "all"]

_POSTS_A_READ: Final = 100_000


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
