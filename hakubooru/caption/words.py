"""The words that captions can have: labels and tags, spelt and sorted into the slots of a format, in arrays built once.

Labels are the words of a rating, a date and a judgement, which a `Judge` finds, and free text.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import as_flags, as_numbers, integers, matches, scalar, strings
from hakubooru.caption.format import ALL_TAGS, KEEP, TAG_PARTS
from hakubooru.caption.measuring import month_of
from hakubooru.caption.scale import QualityScale
from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.store.schema import RATINGS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from hakubooru.caption.format import CaptionFormat, Underscores, YearLabels
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

_MAX_ID: Final = 1 << 26

_COUNTS: Final = ("1", "2", "3", "4", "5", "6+")
PEOPLE: Final = (
    "male_focus",
    *(f"{count}{who}{'s' * (count != '1')}" for who in ("girl", "boy", "other") for count in _COUNTS),
    *(f"multiple_{who}" for who in ("girls", "boys", "others")),
)
"""General tags that count the people of a picture."""

KAOMOJI: Final = (
    "^_^", ">_<", "@_@", "+_+", "=_=", "o_o", "|_|", "0_0", "u_u", ">_o", "._.", "x_x", "<|>_<|>", "<o>_<o>", "t_t",
    "3_3", "6_9", "+_-", "o_x", "(o)_(o)", "||_||",
)  # fmt: skip
"""The faces among Danbooru's tags, in which an underscore is part of the drawing."""

_SHORT = 3


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


def year_label(day: str, before: str) -> str:
    """Return a day's upload year with a text before it; "" for a day that cannot be read, or beyond `YEARS`."""
    year = upload_year(day)
    return f"{before}{year}" if year in YEARS else ""


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


class LabelWords:
    """Labels and free text: the words of a caption that come from a post's columns and from the format.

    `words` holds every word that can occur. A word's place is its index there; place 0 is the empty word.
    """

    def __init__(self, format: CaptionFormat, slots: Slots) -> None:
        grades = format.grades
        self.words = list(dict.fromkeys(_words(format, grades)))
        self._slots = slots
        place = {word: i for i, word in enumerate(self.words)}
        self._free = {FIRST: place[format.before], slots.last: place[format.after]}
        # The last column is for numbers that are not a rating.
        longest = max(len(labels) for labels in format.rating)
        self._ratings = np.zeros((longest, len(RATINGS) + 1), np.int32)
        for number, labels in enumerate(format.rating):
            self._ratings[: len(labels), number] = [place[label] for label in labels]
        days: dict[str, Callable[[str], int]] = {
            "date": lambda day: place[date_label(upload_year(day), format.date, format.undated)],
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


class Vocabulary:
    """The words of a format over the tags of a file: labels first, then tags."""

    words: pa.StringArray
    """The words, (W,), each with a separator before it: words side by side are a caption after its first separator."""
    first_words: pa.StringArray | None
    """The words, (W,), each with the group separator before it; None if the format has none."""
    pieces: Numbers
    """How many pieces each word becomes when a caption is split at the separator, (W,) int16; nearly always 1."""
    rank: Numbers | None
    """The order of tags within a part, (W,) int32; None if the format keeps the order of the file."""

    def __init__(self, format: CaptionFormat, tags: pa.Table) -> None:
        """Spell every tag, and sort the tags into slots.

        Args:
            format: the caption format.
            tags: the tags of the file, as `tag_table` reads them.

        Raises:
            DatabaseFileError: a tag's id is out of range.
            InputError: the format uses the popularity of tags, but the file has none.
        """
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        self.slots = Slots(format)
        self.labels = LabelWords(format, self.slots)
        columns = [tags[name].combine_chunks() for name in ("id", "type", "popularity")]
        ids, kinds, counts = map(np.from_dlpack, columns)  # `to_numpy` imports pandas
        names = tags["name"].combine_chunks()
        parts = _parts_of(kinds)
        spelt_tags = spelt(names, format.underscores, escape=format.escape)
        labels = strings(self.labels.words)
        people = as_flags(pc.is_in(names, strings(PEOPLE)))
        parts[people & (parts == TAG_PARTS.index("general"))] = TAG_PARTS.index("people")
        if any(format.prefix):
            prefixes = strings([getattr(format.prefix, part) for part in TAG_PARTS] + [""])
            # The last one is for tags that no part writes, whose part is -1.
            of_tags = prefixes.take(integers(parts % len(prefixes), pa.int64()))
            spelt_tags = pc.binary_join_element_wise(of_tags, spelt_tags, scalar(""))
        words = pa.concat_arrays([labels, spelt_tags])
        self.words = pc.binary_join_element_wise(scalar(format.separator), words, scalar(""))
        self.first_words = None
        if format.group_separator:
            self.first_words = pc.binary_join_element_wise(scalar(format.group_separator), words, scalar(""))
        pieces = pc.count_substring(self.words, format.separator)
        self.pieces = as_numbers(pieces, np.int32).astype(np.int16)
        slots = _slots_of(names, parts, counts, format, self.slots)
        self._of_tag = _lookup(ids, slots, len(labels))
        self.rank = _ranks(format, names, counts, len(labels))

    def slots_and_places(self, tag_ids: Numbers) -> tuple[Numbers, Numbers]:
        """Return the slot of each tag, (N,) uint16, and its place among the words, (N,) int32."""
        packed = self._of_tag.take(tag_ids, mode="clip")
        return (packed & (SLOTS - 1)).astype(np.uint16), packed >> SLOT_BITS


def _lookup(ids: Numbers, slots: Numbers, first: int) -> Numbers:
    """Return a table from a tag's id to its slot and place, packed in one number: looking ids up is the slow part."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < _MAX_ID:
        raise DatabaseFileError(
            f"the tags have ids from {ids.min()} to {ids.max()}; captions need ids from 0 to {_MAX_ID - 1}"
        )
    # Ids without a tag are left out of captions. The last entry stands for all larger ids.
    table = np.full(int(ids.max(initial=0)) + 2, LEFT_OUT, np.int32)
    table[ids] = (np.arange(len(ids), dtype=np.int32) + first) * SLOTS + slots
    return table


def _parts_of(kinds: Numbers) -> Numbers:
    """Return the part of each tag by its type, as its place in `TAG_PARTS`, (N,) int64; -1 for a tag that no part writes."""
    # A tag of a type that is not known counts as general.
    table = np.array([*map(_part_of, TAG_TYPES), TAG_PARTS.index("general")], np.int64)
    return table[np.where((kinds < 0) | (kinds >= len(TAG_TYPES)), len(TAG_TYPES), kinds)]


def _part_of(kind: str) -> int:
    part = "general" if kind == "unknown" else kind
    return TAG_PARTS.index(part) if part in TAG_PARTS else -1  # e621's contributors, and its invalid tags


def _slots_of(
    names: pa.StringArray, parts: Numbers, counts: Numbers, format: CaptionFormat, slots: Slots
) -> Numbers:
    """Return the slot of each tag, (N,) int32."""
    import pyarrow.compute as pc  # noqa: PLC0415 - loaded with the first caption, not with the package

    out = counts < format.min_popularity
    out |= as_flags(pc.equal(pc.utf8_trim_whitespace(names), scalar("")))
    if KEEP in format.order and (mark := format.keep_separator.strip()):
        # A tag that holds the keep separator would be cut in two.
        out |= as_flags(pc.match_substring(names, mark))
    of_tag = np.array([*slots.of_tag.values(), LEFT_OUT], np.int32)[parts]
    for number, part in enumerate(TAG_PARTS):
        only = *getattr(format.only, part), *format.only.any
        without = *getattr(format.without, part), *format.without.any
        if not only and not without:
            continue
        places = np.flatnonzero(parts == number)
        if only:
            out[places] |= ~matches(names, places, only)
        if without:
            out[places] |= matches(names, places, without)
    return np.where(out, LEFT_OUT, of_tag)


def _ranks(format: CaptionFormat, names: pa.StringArray, counts: Numbers, first: int) -> Numbers | None:
    if (format.min_popularity or format.tag_order == "popularity") and len(counts) and not counts.any():
        raise InputError(
            "the caption format uses the popularity of tags, but every tag of the file has popularity 0: leave out "
            "`min_popularity` and `tag_order`, or use a file whose tags are counted"
        )
    if format.tag_order == "stored":
        return None
    import pyarrow.compute as pc  # noqa: PLC0415 - loaded with the first caption, not with the package

    ranks: Numbers = as_numbers(pc.rank(names, tiebreaker="first"), np.uint64).astype(np.int32)
    if format.tag_order == "popularity":
        order = np.lexsort((ranks, -counts))
        ranks[order] = np.arange(len(order), dtype=np.int32)
    return np.concatenate([np.zeros(first, np.int32), ranks])


def spelt(names: pa.StringArray, underscores: Underscores, *, escape: bool) -> pa.StringArray:
    r"""Return tags as a caption writes them: underscores become spaces.

    Args:
        names: tag names, (N,).
        underscores: the names that keep their underscores.
        escape: write a backslash before `\`, `(`, `)`, `[` and `]`.
    """
    import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
    import pyarrow.compute as pc  # noqa: PLC0415

    words = names
    if underscores != "keep":
        short = underscores == "short"
        longest = integers([_SHORT], pa.int32())[0]
        stays = pc.less_equal(pc.utf8_length(names), longest) if short else pc.is_in(names, strings(KAOMOJI))
        words = pc.if_else(stays, names, pc.replace_substring(names, "_", " "))
    return pc.replace_substring_regex(words, r"([\\()\[\]])", r"\\\1") if escape else words
