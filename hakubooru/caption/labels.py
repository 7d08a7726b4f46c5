"""The words that say a post's rating, its date and its quality: pure functions of a post's columns."""

from __future__ import annotations

import bisect
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

YearLabels: TypeAlias = tuple[tuple[str, int], ...]
"""Labels and the last upload year of each, ascending."""

QualityLabels: TypeAlias = tuple[tuple[str, float], ...]
"""Labels and the percentile above which each stands, descending."""

FIRST_YEAR = 2005
"""The year Danbooru opened: an earlier date is a slip, and counts as none."""


class RatingLabels(NamedTuple):
    """What is written for each rating; several words, or none, where wanted."""

    general: tuple[str, ...] = ("safe",)
    sensitive: tuple[str, ...] = ("sensitive",)
    questionable: tuple[str, ...] = ("nsfw",)
    explicit: tuple[str, ...] = ("nsfw", "explicit")


def upload_year(day: str) -> int | None:
    """The year of a day as Danbooru writes it (`2005-05-23`), or None where it is no day since 2005."""
    try:
        year = dt.date.fromisoformat(day).year
    except ValueError:
        return None
    return year if year >= FIRST_YEAR else None


def date_label(year: int | None, labels: YearLabels, undated: str) -> str:
    """The label of an upload year: the first whose last year it does not pass.

    A year after all of them has none; a date that cannot be read (None) gets `undated`.
    """
    if year is None:
        return undated
    return next((label for label, last in labels if year <= last), "")


def quality_label(count: int, thresholds: Sequence[int], labels: Sequence[str]) -> str:
    """The label of a favourite count (or score): it stands for the counts *above* its threshold.

    Args:
        count: the post's.
        thresholds: ascending, one fewer than labels.
        labels: from the lowest, which needs no threshold, to the highest.
    """
    return labels[bisect.bisect_left(thresholds, count)]
