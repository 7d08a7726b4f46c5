"""The words that captions can have: labels and tags, spelt and sorted into the slots of a format, in arrays built once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrow import as_flags, as_numbers, integers, matches, scalar, strings
from hakubooru.caption.format import KEEP, TAG_PARTS
from hakubooru.caption.labels import LEFT_OUT, SLOT_BITS, SLOTS, LabelWords, Slots
from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    import pyarrow as pa

    from hakubooru.caption.format import CaptionFormat, Underscores
    from hakubooru.caption.measuring import Numbers

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
        ids, kinds, counts = (
            as_numbers(tags[name].combine_chunks(), np.int64) for name in ("id", "type", "popularity")
        )
        names = tags["name"].combine_chunks()
        parts = _parts_of(names, kinds)
        labels = strings(self.labels.words)
        spelt_tags = spelt(names, format.underscores, escape=format.escape)
        if any(format.prefix):
            prefixes = strings([getattr(format.prefix, part) for part in TAG_PARTS] + [""])
            spelt_tags = pc.binary_join_element_wise(
                prefixes.take(integers(parts, pa.int64())), spelt_tags, scalar("")
            )
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


def _parts_of(names: pa.StringArray, kinds: Numbers) -> Numbers:
    """Return the part of each tag as its place in `TAG_PARTS`, (N,) int64; -1 for a tag that no part writes."""
    import pyarrow.compute as pc  # noqa: PLC0415 - loaded with the first caption, not with the package

    general = TAG_PARTS.index("general")
    # A tag of a type that is not known counts as general.
    table = np.array([_part_of(kind) for kind in TAG_TYPES] + [general], np.int64)
    parts = table[np.where((kinds < 0) | (kinds >= len(TAG_TYPES)), len(TAG_TYPES), kinds)]
    people = as_flags(pc.is_in(names, strings(PEOPLE)))
    parts[people & (parts == general)] = TAG_PARTS.index("people")
    return parts


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


def spelt(
    names: pa.StringArray, underscores: Underscores = "short", *, escape: bool = False
) -> pa.StringArray:
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
