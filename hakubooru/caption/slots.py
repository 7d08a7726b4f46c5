"""The places of a caption that words are sorted into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from hakubooru.caption.format import ALL_TAGS, KEEP
from hakubooru.caption.labels import date_label, upload_year
from hakubooru.store.schema import RATINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hakubooru.caption.format import CaptionFormat

Numbers: TypeAlias = "np.ndarray[Any, Any]"

SLOT_BITS: Final = 4
SLOTS: Final = 1 << SLOT_BITS
"""How many slots there are: more than a format has parts."""
FIRST, LEFT_OUT = 0, SLOTS - 1
"""The slot of the free text before, and the last, of words that are not written."""


class Slots:
    """Where the parts of a format stand: slot by part, and where the keep separator does."""

    def __init__(self, format: CaptionFormat) -> None:
        parts = [part for part in format.order if part != KEEP]
        self.of = {part: place for place, part in enumerate(parts, start=FIRST + 1)}
        self.last = len(parts) + 1
        """The slot of the free text after."""
        self.kept = format.order.index(KEEP) + 1 if KEEP in format.order else self.last + 1
        """The first slot behind the keep separator; above all of them without one."""

    def of_tag(self, part: str) -> int:
        """The slot of a tag part's tags."""
        for place in (part, ALL_TAGS, "general" if part == "people" else ""):
            if place in self.of:
                return self.of[place]
        return LEFT_OUT


class Labels:
    """The labels and free text of posts: words that come from a post's columns.

    `words` are all that there can be; a word's place is its number there, and 0 is none.
    """

    def __init__(self, format: CaptionFormat, slots: Slots) -> None:
        self.words = list(dict.fromkeys(_words(format)))
        self._format = format
        self._slots = slots
        place = {word: i for i, word in enumerate(self.words)}
        self._free = {FIRST: place[format.before], slots.last: place[format.after]}
        # A column more than there are ratings, for numbers that are none.
        longest = max(len(labels) for labels in format.rating)
        self._ratings = np.zeros((longest, len(RATINGS) + 1), np.int32)
        for number, labels in enumerate(format.rating):
            self._ratings[: len(labels), number] = [place[label] for label in labels]
        self._days = _Days(lambda day: place[date_label(upload_year(day), format.date, format.undated)])
        if "quality" in slots.of:
            self._thresholds = [np.array(row, np.int64) for row in format.thresholds()]
            lowest = [] if any(percentile == 0 for _, percentile in format.quality) else [0]
            self._steps = np.array(
                [*lowest, *(place[label] for label, _ in reversed(format.quality))], np.int32
            )

    def of_posts(
        self, ids: Sequence[int], ratings: Sequence[int], counts: Sequence[int], days: Sequence[str]
    ) -> Iterator[tuple[int, Numbers]]:
        """Slots, and the place of what is written there for every post, (P,) int32."""
        numbers = np.array(ratings)
        numbers[(numbers < 0) | (numbers >= len(RATINGS))] = len(RATINGS)
        for slot, place in self._free.items():
            if place:
                yield slot, np.full(len(ids), place, np.int32)
        if "rating" in self._slots.of:
            for row in self._ratings:
                yield self._slots.of["rating"], row[numbers]
        if "date" in self._slots.of:
            yield self._slots.of["date"], np.array([self._days[day] for day in days], np.int32)
        if "quality" in self._slots.of:
            yield self._slots.of["quality"], self._quality(np.array(ids), numbers, np.array(counts))

    def _quality(self, ids: Numbers, ratings: Numbers, counts: Numbers) -> Numbers:
        places = np.zeros(len(ids), np.int32)
        for rating, thresholds in enumerate(self._thresholds):
            # As in `quality_label`: a count is above the thresholds that are left of it.
            of_rating = ratings == rating
            places[of_rating] = self._steps[np.searchsorted(thresholds, counts[of_rating], side="left")]
        if self._format.quality_last_id is not None:
            places[ids > self._format.quality_last_id] = 0
        return places


class _Days(dict[str, int]):
    """Label places by day, found once: there are some 8,000 days since Danbooru opened."""

    def __init__(self, find: Callable[[str], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, day: str) -> int:
        self[day] = self._find(day)
        return self[day]


def _words(format: CaptionFormat) -> Iterator[str]:
    yield ""
    for words in format.rating:
        yield from words
    yield from (label for label, _ in (*format.quality, *format.date))
    yield from (format.undated, format.before, format.after)
