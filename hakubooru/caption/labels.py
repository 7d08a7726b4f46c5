"""Labels of a post's rating, date and quality, as pure functions of its columns."""

from __future__ import annotations

import bisect
import datetime as dt
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

YearLabels: TypeAlias = tuple[tuple[str, int], ...]
"""Labels, each with the last upload year that it stands for, ascending."""


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
