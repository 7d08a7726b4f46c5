"""Every word that captions of one file and format can have, in arrays: what is done once, not for each post."""

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
    """Some tags."""

    ids: list[int]
    names: list[str]
    types: list[int]
    """Their numbers."""
    popularities: list[int]


class Vocabulary:
    """The words of a format over the tags of a file: labels first, then tags."""

    words: pa.StringArray
    """(W,): each with the separator before it, so that words side by side are a caption but for the first separator."""
    pieces: Numbers
    """(W,) int16: what each comes to when a caption is split at the separator: 1, but for odd labels."""
    rank: Numbers | None
    """(W,) int32: the order of tags in a part, where the format sorts them."""

    def __init__(self, format: CaptionFormat, tags: Iterable[TagColumns]) -> None:
        """Write out each tag.

        Args:
            format: how.
            tags: some at a time.

        Raises:
            DatabaseFileError: an id is out of all bounds.
            InputError: the format asks for the popularity of tags, and all have none.
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
        """Of each tag: its slot, (N,) uint16, and its place among the words, (N,) int32."""
        found = self._of_tag.take(tag_ids, mode="clip")
        return (found & (SLOTS - 1)).astype(np.uint16), found >> SLOT_BITS


def _joined(tags: Iterable[TagColumns]) -> tuple[Numbers, pa.StringArray, Numbers, Numbers]:
    """Ids, names, types and popularities of all tags."""
    import pyarrow as pa  # noqa: PLC0415 - as in Vocabulary

    ids, kinds, counts = ([np.empty(0, np.int64)] for _ in range(3))
    names = [strings([])]
    for some in tags:
        ids.append(np.array(some.ids, np.int64))
        names.append(strings(some.names))
        kinds.append(np.array(some.types, np.int64))
        counts.append(np.array(some.popularities, np.int64))
    return np.concatenate(ids), pa.concat_arrays(names), np.concatenate(kinds), np.concatenate(counts)


def _lookup(ids: Numbers, slots: Numbers, first: int) -> Numbers:
    """Slot and place of a tag in one number by its id: looking it up is the slow part."""
    if len(ids) and not 0 <= ids.min() <= ids.max() < _MAX_ID:
        raise DatabaseFileError(
            f"the tags have ids from {ids.min()} to {ids.max()}; captions need ids from 0 to {_MAX_ID - 1}"
        )
    # An id that no tag has is left out.
    found = np.full(int(ids.max(initial=0)) + 2, LEFT_OUT, np.int32)
    found[ids] = (np.arange(len(ids), dtype=np.int32) + first) * SLOTS + slots
    return found


def _slots_of(
    names: pa.StringArray, kinds: Numbers, counts: Numbers, format: CaptionFormat, slots: Slots
) -> Numbers:
    """The slot of each tag, (N,) int32."""
    import pyarrow as pa  # noqa: PLC0415 - as in Vocabulary
    import pyarrow.compute as pc  # noqa: PLC0415

    out = counts < format.min_popularity
    out |= as_flags(pc.equal(pc.utf8_trim_whitespace(names), scalar("")))
    if KEEP in format.order and (mark := format.keep_separator.strip()):
        # A tag that holds the keep separator would be cut in two.
        out |= as_flags(pc.match_substring(names, mark))
    people = as_flags(pc.is_in(names, strings(PEOPLE)))
    found = np.empty(len(names), np.int32)
    for part in TAG_PARTS:
        # A type that has no name counts as general.
        kind = TAG_TYPES.index("general" if part == "people" else part)
        own = kinds == kind if kind else (kinds <= 0) | (kinds >= len(TAG_TYPES))
        if not kind:
            own &= people == (part == "people")
        places = np.flatnonzero(own)
        found[places] = slots.of_tag(part)
        only, without = ((*getattr(lists, part), *lists.any) for lists in (format.only, format.without))
        if only:
            out[places] |= ~matches(names.take(integers(places, pa.int64())), only)
        if without:
            out[places] |= matches(names.take(integers(places, pa.int64())), without)
    return np.where(out, LEFT_OUT, found)


def _ranks(format: CaptionFormat, names: pa.StringArray, counts: Numbers, first: int) -> Numbers | None:
    if (format.min_popularity or format.tag_order == "popularity") and len(counts) and not counts.any():
        raise InputError(
            "the file says popularity 0 of every tag, and the caption format asks for it: leave out "
            "`min_popularity` and `tag_order`, or take a file whose tags are counted"
        )
    if format.tag_order == "stored":
        return None
    import pyarrow.compute as pc  # noqa: PLC0415 - as in Vocabulary

    ranks: Numbers = as_numbers(pc.rank(names, tiebreaker="first"), np.uint64).astype(np.int32)
    if format.tag_order == "popularity":
        order = np.lexsort((ranks, -counts))
        ranks[order] = np.arange(len(order), dtype=np.int32)
    return np.concatenate([np.zeros(first, np.int32), ranks])
