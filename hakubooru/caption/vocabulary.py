"""The vocabulary of a file and a format: every word that captions can have, in arrays that are built once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hakubooru.arrow import as_flags, as_numbers, integers, scalar, strings
from hakubooru.caption.format import KEEP, TAG_PARTS
from hakubooru.caption.slots import LEFT_OUT, SLOT_BITS, SLOTS, Labels, Slots
from hakubooru.caption.tagwords import PEOPLE, matches, spelt
from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.slots import Numbers

_MAX_ID: Final = 1 << 26


class TagColumns(NamedTuple):
    """Columns of some tags."""

    ids: list[int]
    """The tags' ids."""
    names: list[str]
    """The tags' names."""
    types: list[int]
    """The tags' types, as indices of `TAG_TYPES`."""
    popularities: list[int]
    """How many posts bear each tag, as the file has it."""


class Vocabulary:
    """The words of a format over the tags of a file: labels first, then tags."""

    words: pa.StringArray
    """The words, (W,), each with a separator before it: words side by side are a caption after its first separator."""
    pieces: Numbers
    """How many pieces each word becomes when a caption is split at the separator, (W,) int16; nearly always 1."""
    rank: Numbers | None
    """The order of tags within a part, (W,) int32; None if the format keeps the order of the file."""

    def __init__(self, format: CaptionFormat, tags: Iterable[TagColumns]) -> None:
        """Spell every tag, and sort the tags into slots.

        Args:
            format: the caption format.
            tags: the tags of the file, some at a time.

        Raises:
            DatabaseFileError: a tag's id is out of range.
            InputError: the format uses the popularity of tags, but the file has none.
        """
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        self.slots = Slots(format)
        self.labels = Labels(format, self.slots)
        ids, names, kinds, counts = _joined(tags)
        labels = strings(self.labels.words)
        spelt_tags = spelt(names, format.underscores, escape=format.escape)
        words = pa.concat_arrays([labels, spelt_tags])
        self.words = pc.binary_join_element_wise(scalar(format.separator), words, scalar(""))
        pieces = pc.count_substring(self.words, format.separator)
        self.pieces = as_numbers(pieces, np.int32).astype(np.int16)
        slots = _slots_of(names, kinds, counts, format, self.slots)
        self._of_tag = _lookup(ids, slots, len(labels))
        self.rank = _ranks(format, names, counts, len(labels))

    def slots_and_places(self, tag_ids: Numbers) -> tuple[Numbers, Numbers]:
        """Return the slot of each tag, (N,) uint16, and its place among the words, (N,) int32."""
        packed = self._of_tag.take(tag_ids, mode="clip")
        return (packed & (SLOTS - 1)).astype(np.uint16), packed >> SLOT_BITS


def _joined(tags: Iterable[TagColumns]) -> tuple[Numbers, pa.StringArray, Numbers, Numbers]:
    """Return the ids, names, types and popularities of all tags."""
    import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package

    ids, kinds, counts = ([np.empty(0, np.int64)] for _ in range(3))
    names = [strings([])]
    for some in tags:
        ids.append(np.array(some.ids, np.int64))
        names.append(strings(some.names))
        kinds.append(np.array(some.types, np.int64))
        counts.append(np.array(some.popularities, np.int64))
    return np.concatenate(ids), pa.concat_arrays(names), np.concatenate(kinds), np.concatenate(counts)


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


def _slots_of(
    names: pa.StringArray, kinds: Numbers, counts: Numbers, format: CaptionFormat, slots: Slots
) -> Numbers:
    """Return the slot of each tag, (N,) int32."""
    import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
    import pyarrow.compute as pc  # noqa: PLC0415

    out = counts < format.min_popularity
    out |= as_flags(pc.equal(pc.utf8_trim_whitespace(names), scalar("")))
    if KEEP in format.order and (mark := format.keep_separator.strip()):
        # A tag that holds the keep separator would be cut in two.
        out |= as_flags(pc.match_substring(names, mark))
    people = as_flags(pc.is_in(names, strings(PEOPLE)))
    of_tag = np.empty(len(names), np.int32)
    for part in TAG_PARTS:
        # A tag of an unknown type counts as general.
        kind = TAG_TYPES.index("general" if part == "people" else part)
        is_in_part = kinds == kind if kind else (kinds <= 0) | (kinds >= len(TAG_TYPES))
        if not kind:
            is_in_part &= people == (part == "people")
        places = np.flatnonzero(is_in_part)
        of_tag[places] = slots.of_tag(part)
        only, without = ((*getattr(lists, part), *lists.any) for lists in (format.only, format.without))
        if only:
            out[places] |= ~matches(names.take(integers(places, pa.int64())), only)
        if without:
            out[places] |= matches(names.take(integers(places, pa.int64())), without)
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
