"""Captions of many posts: one query a batch, then arrays instead of a Python loop over tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrow import integers
from hakubooru.caption.format import KEEP
from hakubooru.caption.limit import limiter
from hakubooru.caption.presets import caption_format
from hakubooru.caption.slots import FIRST, LEFT_OUT, SLOTS
from hakubooru.caption.text import count_parts, join_parts, join_sides
from hakubooru.caption.vocabulary import TagColumns, Vocabulary
from hakubooru.errors import InputError
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.slots import Numbers
    from hakubooru.caption.text import Parts
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 1_000  # more is slower: a batch then no longer fits the processor's cache
_TAGS_AT_MOST: Final = 2**40
_FEW: Final = 1_500
"""Up to so many posts, captions are made at once, and only of the tags that these bear is the table read."""

_ROWS: Final = """
SELECT post.id, post.rating, post.{count}, coalesce(substr(post.created_at, 1, 10), ''),
       (SELECT group_concat(tag_id) FROM {relations})
FROM json_each(?) AS wanted CROSS JOIN post ON post.id = wanted.value
"""
# Tags come in the order of their relations. An index on the post alone holds them so, by the format of the file;
# where there is none, or perhaps others, they are sorted.
_BY_INDEX: Final = "posttagrelation INDEXED BY {index} WHERE post_id = post.id"
_SORTED: Final = "(SELECT tag_id FROM posttagrelation WHERE post_id = post.id ORDER BY id)"
_INDEX_ON_POST: Final = """
SELECT name FROM pragma_index_list('posttagrelation') AS list
WHERE NOT partial AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = 'post_id'
"""
# A column in one piece: each value by itself takes twice as long.
_TAGS: Final = """
SELECT json_group_array(id), json_group_array(name) AS name, json_group_array(type), json_group_array(popularity)
FROM (SELECT id, name, type, popularity FROM tag WHERE {which})
"""
_SOME: Final = "id > ? ORDER BY id LIMIT 2000"
_OF_POSTS: Final = (
    "id IN (SELECT tag_id FROM posttagrelation WHERE post_id IN (SELECT value FROM json_each(?)))"
)


class Captioned(NamedTuple):
    """A caption, and how it is made up."""

    id: int
    """The post's."""
    caption: str
    parts: dict[str, int]
    """How many tags of the caption each part has, in their order; parts without any are not named."""


class Captioner:
    """Captions of the posts of one database in one format."""

    def __init__(
        self, database: Store, format: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon"
    ) -> None:
        """Make ready; nothing is read yet but the scale that `quality_scale = "database"` asks for.

        Args:
            database: where the posts are.
            format: a preset's name, a format, or a table of its fields.

        Raises:
            CaptionFormatError: the format is none.
        """
        self.database = database
        self.format = caption_format(format).resolved(database)
        self._limit = limiter(self.format)
        self._words: Vocabulary | None = None
        self._asked = 0
        self._known: dict[int, Captioned] = {}

    def prepare(self, ids: Ids) -> None:
        """Make the captions of posts, where these are few; from now on `captioned` is asked for no others."""
        if len(ids) <= _FEW:
            self._known = {one.id: one for one in self.captioned(ids)}

    def captions(self, ids: Ids) -> Iterator[tuple[int, str]]:
        """Ids and captions, in the order of the ids, read in batches.

        Args:
            ids: posts, (N,) int64.

        Raises:
            InputError: the database has no post of one of these ids.
        """
        for batch in self._batches(ids):
            if self._is_plain():
                texts = batch.texts()
            else:
                texts = [join_parts(parts, self.format) for parts in self._parts(batch)]
            yield from zip(batch.ids, texts, strict=True)

    def captioned(self, ids: Ids) -> Iterator[Captioned]:
        """Captions with what the changes of training need to know of them, in the order of the ids.

        Raises:
            InputError: the database has no post of one of these ids.
        """
        if self._known:
            yield from map(self._known.__getitem__, ids.tolist())
            return
        for batch in self._batches(ids):
            if self._is_plain():
                texts, counts = batch.texts(), batch.counts()
            else:
                parts = list(self._parts(batch))
                texts = [join_parts(some, self.format) for some in parts]
                counts = (count_parts(some, self.format) for some in parts)
            yield from map(Captioned, batch.ids, texts, counts)

    def parts(self, ids: Ids) -> Iterator[tuple[int, Parts]]:
        """Ids and the words of each part of the format's order, in the order of the ids.

        Raises:
            InputError: the database has no post of one of these ids.
        """
        for batch in self._batches(ids):
            yield from zip(batch.ids, self._parts(batch), strict=True)

    def _is_plain(self) -> bool:
        return self.format.layout == "text" and self._limit is None

    def _parts(self, batch: Batch) -> Iterator[Parts]:
        return batch.parts() if self._limit is None else map(self._limit, batch.parts())

    def _batches(self, ids: Ids) -> Iterator[Batch]:
        words = self._vocabulary(ids)
        statement = _ROWS.format(count=self.format.quality_by, relations=self._relations())
        for start in range(0, len(ids), _POSTS_A_BATCH):
            some = ids[start : start + _POSTS_A_BATCH]
            rows = self.database.rows(statement, [id_text(some)])
            if len(rows) < len(some):
                missing = min(set(some.tolist()) - {row[0] for row in rows})
                raise InputError(f"{self.database.path} has no post {missing}; select from its own posts")
            batch = Batch(self.format, words, rows)
            assert batch.ids == tuple(some.tolist()), "SQLite reads the posts in the order asked for"
            yield batch

    def _relations(self) -> str:
        for (index,) in self.database.rows(_INDEX_ON_POST):
            quoted = index.replace('"', '""')
            return _BY_INDEX.format(index=f'"{quoted}"')
        return _SORTED

    def _vocabulary(self, ids: Ids) -> Vocabulary:
        self._asked += len(ids)
        if self._words is None and self._asked <= _FEW:
            return Vocabulary(self.format, [self._tags(_OF_POSTS, id_text(ids))])
        if self._words is None:
            self._words = Vocabulary(self.format, self._all_tags())
        return self._words

    def _all_tags(self) -> Iterator[TagColumns]:
        last = -1
        while (some := self._tags(_SOME, last)).ids:
            yield some
            last = some.ids[-1]

    def _tags(self, which: str, parameter: Any) -> TagColumns:
        (columns,) = self.database.rows(_TAGS.format(which=which), [parameter])
        return TagColumns(*map(json.loads, columns))

    def __reduce__(self) -> tuple[Any, ...]:
        # The words are read anew in another process: sooner than they would be sent.
        return Captioner, (self.database, self.format)


class Batch:
    """The words of some posts, sorted by post and slot.

    Labels and free text are words like tags: each has a place in the vocabulary, and a slot.
    """

    def __init__(self, format: CaptionFormat, vocabulary: Vocabulary, rows: list[Any]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        self.format = format
        self.slots = vocabulary.slots
        self.ids, ratings, counts, days, texts = zip(*rows, strict=True)
        found = [_tags_of(texts, vocabulary, repeats=format.repeats)]
        for slot, labels in vocabulary.labels.of_posts(self.ids, ratings, counts, days):
            posts = np.flatnonzero(labels).astype(np.uint16)
            found.append((posts, np.full(len(posts), slot, np.uint16), labels[posts]))
        posts, slots, places = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        keys = posts * np.uint16(SLOTS) + slots  # 16 bits, which NumPy sorts fastest
        if vocabulary.rank is None:
            order = np.argsort(keys, kind="stable")
        else:
            order = np.lexsort((vocabulary.rank[places], keys))
        starts = np.zeros(len(rows) * SLOTS + 1, np.int32)
        np.cumsum(np.bincount(keys, minlength=len(rows) * SLOTS), out=starts[1:])
        self.starts = starts  # (P * SLOTS + 1,): where the words of each slot begin
        self.places = places[order]  # (W,) int32: in the vocabulary
        # Arrow strings, (W,), the separator before each.
        self.words = pc.take(vocabulary.words, integers(self.places, pa.int32()), boundscheck=False)
        self.pieces_of = vocabulary.pieces

    def texts(self) -> list[str]:
        """A caption for each post, cut from the text of all words side by side."""
        text, ends = self._text()
        # For each post: before the keep separator, after it, and what is not written.
        bounds = self.starts[:-1].reshape(-1, SLOTS)[:, [FIRST, self.slots.kept, LEFT_OUT]]
        first, kept, last = ends[bounds].T
        cut = len(self.format.separator)
        keep = self.format.keep_separator if KEEP in self.format.order else ""
        cuts = zip((first + cut).tolist(), kept.tolist(), (kept + cut).tolist(), last.tolist(), strict=True)
        return [
            f"{text[begin:end]}{keep}{text[again:stop]}"
            if begin < end and again < stop
            else join_sides(text[begin:end], text[again:stop], self.format)
            for begin, end, again, stop in cuts
        ]

    def _text(self) -> tuple[str, Numbers]:
        """The words side by side, and where each begins and the last ends, (W + 1,), in characters."""
        _, offsets, data = self.words.buffers()
        ends = np.frombuffer(offsets, np.int32)[: len(self.words) + 1]
        if data is None:
            return "", ends
        text = data.to_pybytes().decode()
        if not text.isascii():
            # UTF-8 writes a character in one byte and such as have the bits 10 in front.
            follow = np.frombuffer(data, np.uint8) & 0xC0 == 0x80
            ends = ends - np.concatenate([[0], np.cumsum(follow, dtype=np.int32)])[ends]
        return text, ends

    def counts(self) -> Iterator[dict[str, int]]:
        """How many words of each caption each part has, a word that holds the separator counting as several."""
        ends = np.concatenate([[0], np.cumsum(self.pieces_of[self.places])])[self.starts]
        names = ["before", *self.slots.of, "after"]
        for row in np.diff(ends).reshape(-1, SLOTS)[:, : len(names)].tolist():
            yield {name: count for name, count in zip(names, row, strict=True) if count}

    def parts(self) -> Iterator[Parts]:
        """The parts of each post."""
        cut = len(self.format.separator)
        words = [word[cut:] for word in self.words.to_pylist()]
        starts = self.starts.tolist()
        for first in range(0, len(starts) - 1, SLOTS):
            yield {
                part: words[starts[first + slot] : starts[first + slot + 1]]
                for part, slot in self.slots.of.items()
            }


def _tags_of(
    texts: Sequence[str | None], vocabulary: Vocabulary, *, repeats: bool
) -> tuple[Numbers, Numbers, Numbers]:
    """Of each tag of each post: the post's number in the batch, the tag's slot and its place."""
    counts = [text.count(",") + 1 if text else 0 for text in texts]
    written = ",".join([text for text in texts if text])
    tags = np.fromstring(written, dtype=np.int64, sep=",") if written else np.empty(0, np.int64)
    posts = np.repeat(np.arange(len(texts), dtype=np.uint16), counts)
    if not repeats:
        posts, tags = _once(posts, tags)
    return posts, *vocabulary.slots_and_places(tags)


def _once(posts: Numbers, tags: Numbers) -> tuple[Numbers, Numbers]:
    """The tags of posts, (N,) each, without those that a post bears again: a file may have a relation twice."""
    pairs = posts * np.int64(_TAGS_AT_MOST) + tags
    ascending = np.sort(pairs)
    if not (ascending[1:] == ascending[:-1]).any():
        return posts, tags
    first = np.sort(np.unique(pairs, return_index=True)[1])
    return posts[first], tags[first]
