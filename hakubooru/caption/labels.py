"""The slots of a format, and the words that are no tags: labels of a rating, a date and a judgement, and free text."""

from __future__ import annotations

import bisect
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.caption.format import ALL_TAGS, KEEP, TAG_PARTS
from hakubooru.caption.measuring import month_of
from hakubooru.caption.scale import QualityScale
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hakubooru.caption.format import CaptionFormat, YearLabels
    from hakubooru.caption.measuring import Numbers
    from hakubooru.caption.scale import Grades

SLOT_BITS: Final = 5
SLOTS: Final = 1 << SLOT_BITS
"""How many slots there are, more than any format has parts."""
FIRST, LEFT_OUT = 0, SLOTS - 1
"""The first slot holds the free text `before`. The last slot holds words that are not written."""
_ALSO: Final = {"people": ("general",), "species": ("general",)}
"""Where else the tags of a part stand, if the format does not write the part."""

FIRST_YEAR = 2005
"""The year Danbooru opened; a post with an earlier date counts as undated."""

YEARS: Final = range(FIRST_YEAR, 2100)
"""The years that `year_label` can write."""


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


class Slots:
    """The slot of each part of a format, and the place of the keep separator among the slots."""

    def __init__(self, format: CaptionFormat) -> None:
        parts = [part for part in format.order if part != KEEP]
        self.of = {part: place for place, part in enumerate(parts, start=FIRST + 1)}
        self.last = len(parts) + 1
        """The slot of the free text `after`."""
        self.kept = format.order.index(KEEP) + 1 if KEEP in format.order else self.last + 1
        """The first slot after the keep separator; without one, a slot above all others."""
        self.grouped = self.kept if KEEP in format.order else FIRST
        """The first slot of the parts that the group separator keeps apart."""

        tag_parts = {part: (part, ALL_TAGS, *_ALSO.get(part, ())) for part in TAG_PARTS}
        self.of_tag = {
            part: next((self.of[place] for place in places if place in self.of), LEFT_OUT)
            for part, places in tag_parts.items()
        }
        """The slot of the tags of each tag part; `LEFT_OUT` if the format does not write the part."""


class LabelWords:
    """Labels and free text: the words of a caption that come from a post's columns and from the format.

    `words` holds every word that can occur. A word's place is its index there; place 0 is the empty word.
    """

    def __init__(self, format: CaptionFormat, slots: Slots) -> None:
        grades = format.grades
        self.words = list(dict.fromkeys(_words(format, grades)))
        self._format = format
        self._slots = slots
        place = {word: i for i, word in enumerate(self.words)}
        self._free = {FIRST: place[format.before], slots.last: place[format.after]}
        # The last column is for numbers that are not a rating.
        longest = max(len(labels) for labels in format.rating)
        self._ratings = np.zeros((longest, len(RATINGS) + 1), np.int32)
        for number, labels in enumerate(format.rating):
            self._ratings[: len(labels), number] = [place[label] for label in labels]
        days: dict[str, Callable[[str], int]] = {
            "date": lambda day: place[day_label(day, format.date, format.undated)],
            "year": lambda day: place[year_label(day, format.year)],
        }
        self._days = {part: _Days(find) for part, find in days.items() if part in slots.of}
        self._months = _Days(month_of)
        self._judges = {part: Judge(one) for part, one in grades.items()}
        self._steps = {
            # A post that is not judged has the place -1, which is the empty word.
            part: np.array([*(place[word] for word in judge.words), 0], np.int32)
            for part, judge in self._judges.items()
        }

    def of_posts(
        self,
        ids: Numbers,
        ratings: Numbers,
        days: Sequence[str],
        numbers: Mapping[str, Sequence[Any] | Numbers],
    ) -> Iterator[tuple[int, Numbers]]:
        """Yield slots, and for each the places of the words that the posts have there, (P,) int32.

        Args:
            ids: the posts.
            ratings: their ratings.
            days: the days of their upload, as text.
            numbers: for each part that judges posts, the number of each post; None if it has none.
        """
        rated = np.array(ratings)
        rated[(rated < 0) | (rated >= len(RATINGS))] = len(RATINGS)
        for slot, place in self._free.items():
            if place:
                yield slot, np.full(len(ids), place, np.int32)
        if "rating" in self._slots.of:
            for row in self._ratings:
                yield self._slots.of["rating"], row[rated]
        for part, places in self._days.items():
            yield self._slots.of[part], np.array([places[day] for day in days], np.int32)
        months = None
        if any(judge.months for judge in self._judges.values()):
            months = np.array([self._months[day] for day in days])
        for part, judge in self._judges.items():
            values = np.array(numbers[part])
            if values.dtype == object:  # a post without a number
                values = values.astype(np.float64)
            yield self._slots.of[part], self._steps[part][judge(ids, rated, values, months)]


class _Days(dict[str, int]):
    """A cache of label places by day: there are some 8,000 days since Danbooru opened."""

    def __init__(self, find: Callable[[str], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, day: str) -> int:
        self[day] = self._find(day)
        return self[day]


def _words(format: CaptionFormat, grades: Mapping[str, Grades]) -> Iterator[str]:
    yield ""
    for words in format.rating:
        yield from words
    for one in grades.values():
        yield from (label for label, _ in one.labels)
    yield from (label for label, _ in format.date)
    if "year" in format.order:
        yield from (f"{format.year}{year}" for year in YEARS)
    yield from (format.undated, format.before, format.after)
