"""A batch of captions: the words of some posts in one array, sorted by post and part, and cut into captions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hakubooru.arrow import flags, integers, strings
from hakubooru.caption.format import KEEP
from hakubooru.caption.text import join_sides
from hakubooru.caption.words import FIRST, LEFT_OUT, SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.measuring import Numbers
    from hakubooru.caption.text import Parts
    from hakubooru.caption.words import Vocabulary
    from hakubooru.engine.posts import TaggedPosts


class Batch:
    """The words of up to 1,000 posts, sorted by post and slot.

    Labels and free text are words just as tags are: each has a place in the vocabulary, and a slot.
    """

    def __init__(self, format: CaptionFormat, vocabulary: Vocabulary, posts: TaggedPosts) -> None:
        self.format = format
        self.slots = vocabulary.slots
        self.ids = posts.ids.tolist()
        self.vocabulary = vocabulary
        marks = [mark for text in (format.keep_separator, format.group_separator) if (mark := text.strip())]
        texts = [_cleaned(text, marks) if text else "" for text in posts.values.get("text", ())]
        bearers = np.repeat(np.arange(len(self.ids), dtype=np.uint16), posts.many)
        columns = [(bearers, *vocabulary.slots_and_places(posts.tags))]
        if format.text_replaces and {"general", "text"} <= self.slots.of.keys():
            columns = [_without_general(*columns[0], self.slots.of["general"], texts)]
        for slot, labels in vocabulary.labels.of_posts(posts.ids, posts.ratings, posts.days, posts.values):
            numbers = np.flatnonzero(labels).astype(np.uint16)
            columns.append((numbers, np.full(len(numbers), slot, np.uint16), labels[numbers]))
        if texts:
            numbers = np.flatnonzero([*map(len, texts)]).astype(np.uint16)
            text_slot = self.slots.of["text"]
            columns.append(
                (numbers, np.full(len(numbers), text_slot, np.uint16), np.zeros(len(numbers), np.int32))
            )
        numbers, slots, places = (np.concatenate(arrays) for arrays in zip(*columns, strict=True))
        keys = numbers * np.uint16(SLOTS) + slots  # 16 bits, which NumPy sorts fastest
        if vocabulary.rank is None:
            order = np.argsort(keys, kind="stable")
        else:
            order = np.lexsort((vocabulary.rank[places], keys))
        starts = np.zeros(len(self.ids) * SLOTS + 1, np.int32)
        np.cumsum(np.bincount(keys, minlength=len(self.ids) * SLOTS), out=starts[1:])
        self.starts = starts  # (P * SLOTS + 1,): where the words of each slot begin
        self.places = places[order]  # (W,) int32: in the vocabulary
        self.own = {}  # words that are in no vocabulary, by their place among the words: joined texts
        if texts:
            firsts = starts[:-1].reshape(-1, SLOTS)[:, text_slot].tolist()
            self.own = {first: text for first, text in zip(firsts, texts, strict=True) if text}

    def words(self, *, grouped: bool = False) -> pa.StringArray:
        """Return the words, (W,), each with the separator before it.

        Args:
            grouped: whether the first words of parts have the group separator instead.
        """
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        places = integers(self.places, pa.int32())
        words = pc.take(self.vocabulary.words, places, boundscheck=False)
        firsts = self._first_words() if grouped else np.empty(0, np.int64)
        if len(firsts):
            some = pc.take(
                self.vocabulary.first_words, integers(self.places[firsts], pa.int32()), boundscheck=False
            )
            words = _replaced(words, firsts, some)
        if self.own:
            begin = [self.format.separator] * len(self.own)
            if grouped:
                is_first = np.isin([*self.own], firsts)
                begin = np.where(is_first, self.format.group_separator, self.format.separator).tolist()
            texts = [f"{mark}{text}" for mark, text in zip(begin, self.own.values(), strict=True)]
            words = _replaced(words, np.array([*self.own], np.int64), strings(texts))
        return words

    def _first_words(self) -> Numbers:
        """The places of the first words of each part that the group separator keeps apart, ascending."""
        slots = slice(self.slots.grouped, LEFT_OUT)
        starts, ends = (bounds.reshape(-1, SLOTS)[:, slots] for bounds in (self.starts[:-1], self.starts[1:]))
        firsts: Numbers = starts[starts < ends].astype(np.int64)
        return firsts

    def texts(self) -> list[str]:
        """Return the caption of each post, cut from the text of all words side by side."""
        grouped = bool(self.format.group_separator)
        text, ends = _text_of(self.words(grouped=grouped))
        # Three bounds of each post: its first word, the first word after the keep separator, the first left out.
        bounds = self.starts[:-1].reshape(-1, SLOTS)[:, [FIRST, self.slots.kept, LEFT_OUT]]
        first, kept, last = ends[bounds].T
        has_keep = KEEP in self.format.order
        cut = len(self.format.separator)
        second = len(self.format.group_separator) if grouped else cut
        begin = second if grouped and not has_keep else cut
        keep = self.format.keep_separator if has_keep else ""
        cuts = zip(
            (first + begin).tolist(), kept.tolist(), (kept + second).tolist(), last.tolist(), strict=True
        )
        return [
            f"{text[begin:end]}{keep}{text[again:stop]}"
            if begin < end and again < stop
            else join_sides(text[begin:end], text[again:stop], self.format)
            for begin, end, again, stop in cuts
        ]

    def counts(self) -> list[dict[str, int]]:
        """Return for each caption how many tags each part has; a word that holds the separator counts as several."""
        pieces = self.vocabulary.pieces[self.places]
        for place, text in self.own.items():
            pieces[place] = text.count(self.format.separator) + 1
        ends = np.concatenate([[0], np.cumsum(pieces)])[self.starts]
        names = ["before", *self.slots.of, "after"]
        rows = np.diff(ends).reshape(-1, SLOTS)[:, : len(names)].tolist()
        return [{name: count for name, count in zip(names, row, strict=True) if count} for row in rows]

    def parts(self) -> Iterator[Parts]:
        """Yield the words of each post, by part."""
        cut = len(self.format.separator)
        words = [word[cut:] for word in self.words().to_pylist()]
        starts = self.starts.tolist()
        for first in range(0, len(starts) - 1, SLOTS):
            yield {
                part: words[starts[first + slot] : starts[first + slot + 1]]
                for part, slot in self.slots.of.items()
            }


def _text_of(words: pa.StringArray) -> tuple[str, Numbers]:
    """Return the text of words side by side, and where each word begins and the last ends, (W + 1,), in characters."""
    _, offsets, data = words.buffers()
    ends = np.frombuffer(offsets, np.int32)[words.offset : words.offset + len(words) + 1]
    if data is None:
        return "", ends
    text = data.to_pybytes().decode()
    if not text.isascii():
        # In UTF-8 the bytes of a character after its first begin with the bits 10 (RFC 3629, 3).
        follow = np.frombuffer(data, np.uint8) & 0xC0 == 0x80
        ends = ends - np.concatenate([[0], np.cumsum(follow, dtype=np.int32)])[ends]
    return text, ends


def _replaced(words: pa.StringArray, places: Numbers, others: pa.StringArray) -> pa.StringArray:
    """Return words with others at some ascending places."""
    import pyarrow.compute as pc  # noqa: PLC0415 - loaded with the first caption, not with the package

    mask = np.zeros(len(words), np.bool_)
    mask[places] = True
    return pc.replace_with_mask(words, flags(mask), others)


def _cleaned(text: str, marks: Sequence[str]) -> str:
    """Return a text as one line, without the marks at which trainers cut captions."""
    for mark in marks:
        if mark in text:
            text = text.replace(mark, " ")
    # Most texts are one line already. Of all blanks, only the usual one is printable.
    if text.isprintable() and "  " not in text and text[0] != " " != text[-1]:
        return text
    return " ".join(text.split())


def _without_general(
    posts: Numbers, slots: Numbers, places: Numbers, general: int, texts: Sequence[str]
) -> tuple[Numbers, Numbers, Numbers]:
    """Leave the general tags out of posts that have a text."""
    has_text = np.array([bool(text) for text in texts], np.bool_)
    replaced = (slots == general) & has_text[posts]
    return posts, np.where(replaced, np.uint16(LEFT_OUT), slots), places
