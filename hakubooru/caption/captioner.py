"""Captioning many posts: one query for each batch, then arrays instead of a Python loop over tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrow import integers
from hakubooru.caption.format import KEEP
from hakubooru.caption.presets import caption_format
from hakubooru.caption.text import count_parts, join_parts, join_sides, limiter
from hakubooru.caption.words import FIRST, LEFT_OUT, SLOTS, TagColumns, Vocabulary
from hakubooru.engine.posts import TaggedPosts, read_posts
from hakubooru.store.schema import RATINGS, TAG_TYPES
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.text import Parts
    from hakubooru.caption.words import Numbers
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 1_000  # more is slower: a batch then no longer fits the processor's cache
_FEW: Final = 1_500
"""For up to this many posts, captions are cached, and only the tags that these posts bear are read."""

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
    """A post's caption, and how many of its tags belong to each part."""

    id: int
    """The post's id."""
    caption: str
    """The caption's text."""
    parts: dict[str, int]
    """How many tags of the caption each part has, in the order of the caption; parts without tags are left out."""


class Captioner:
    """Writes captions of the posts of one database in one format."""

    def __init__(
        self, database: Store, format: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon"
    ) -> None:
        """Resolve the format; of the database, only the scale for `quality_scale = "database"` is read now.

        Args:
            database: the posts' database.
            format: the name of a preset, a format, or a table of its fields.

        Raises:
            CaptionFormatError: the format is not valid; the message names the field.
        """
        self.database = database
        self.format = caption_format(format).resolved(database)
        self._limit = limiter(self.format)
        self._words: Vocabulary | None = None
        self._asked = 0
        self._known: dict[int, Captioned] = {}

    def prepare(self, ids: Ids) -> None:
        """Caption up to 1,500 posts now and cache them. Afterwards only these ids may be asked for.

        With more posts, nothing is cached.

        Args:
            ids: posts, (N,) int64.

        Raises:
            InputError: the database has no post of one of these ids.
        """
        if len(ids) <= _FEW:
            self._known = {one.id: one for one in self.captioned(ids)}

    def captions(self, ids: Ids) -> Iterator[tuple[int, str]]:
        """Yield ids and captions in the order of `ids`; posts are read in batches.

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
        """Yield captions with the tags of each part counted, as `CaptionChange` needs them, in the order of `ids`.

        Args:
            ids: posts, (N,) int64.

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
        """Yield ids and the words of each part of the format, in the order of `ids`.

        Args:
            ids: posts, (N,) int64.

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
        posts = read_posts(
            self.database,
            ids,
            self.format.quality_by,
            posts_a_batch=_POSTS_A_BATCH,
            repeats=self.format.repeats,
        )
        return (Batch(self.format, words, some) for some in posts)

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
        # Another process reads the words again: that is faster than sending them.
        return Captioner, (self.database, self.format)


class Batch:
    """The words of up to 1,000 posts, sorted by post and slot.

    Labels and free text are words just as tags are: each has a place in the vocabulary, and a slot.
    """

    def __init__(self, format: CaptionFormat, vocabulary: Vocabulary, posts: TaggedPosts) -> None:
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        self.format = format
        self.slots = vocabulary.slots
        self.ids = posts.ids.tolist()
        bearers = np.repeat(np.arange(len(self.ids), dtype=np.uint16), posts.many)
        columns = [(bearers, *vocabulary.slots_and_places(posts.tags))]
        for slot, labels in vocabulary.labels.of_posts(posts.ids, posts.ratings, posts.counts, posts.days):
            labelled = np.flatnonzero(labels).astype(np.uint16)
            columns.append((labelled, np.full(len(labelled), slot, np.uint16), labels[labelled]))
        bearers, slots, places = (np.concatenate(arrays) for arrays in zip(*columns, strict=True))
        keys = bearers * np.uint16(SLOTS) + slots  # 16 bits, which NumPy sorts fastest
        if vocabulary.rank is None:
            order = np.argsort(keys, kind="stable")
        else:
            order = np.lexsort((vocabulary.rank[places], keys))
        starts = np.zeros(len(self.ids) * SLOTS + 1, np.int32)
        np.cumsum(np.bincount(keys, minlength=len(self.ids) * SLOTS), out=starts[1:])
        self.starts = starts  # (P * SLOTS + 1,): where the words of each slot begin
        self.places = places[order]  # (W,) int32: in the vocabulary
        # Arrow strings, (W,), the separator before each.
        self.words = pc.take(vocabulary.words, integers(self.places, pa.int32()), boundscheck=False)
        self.pieces_of = vocabulary.pieces

    def texts(self) -> list[str]:
        """Return the caption of each post, cut from the text of all words side by side."""
        text, ends = self._text()
        # Three bounds of each post: its first word, the first word after the keep separator, the first left out.
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
        """Return the text of all words side by side, and where each word begins and the last ends.

        The places are (W + 1,), in characters.
        """
        _, offsets, data = self.words.buffers()
        ends = np.frombuffer(offsets, np.int32)[: len(self.words) + 1]
        if data is None:
            return "", ends
        text = data.to_pybytes().decode()
        if not text.isascii():
            # In UTF-8 the bytes of a character after its first begin with the bits 10 (RFC 3629, 3).
            follow = np.frombuffer(data, np.uint8) & 0xC0 == 0x80
            ends = ends - np.concatenate([[0], np.cumsum(follow, dtype=np.int32)])[ends]
        return text, ends

    def counts(self) -> Iterator[dict[str, int]]:
        """Yield for each caption how many tags each part has; a word that holds the separator counts as several."""
        ends = np.concatenate([[0], np.cumsum(self.pieces_of[self.places])])[self.starts]
        names = ["before", *self.slots.of, "after"]
        for row in np.diff(ends).reshape(-1, SLOTS)[:, : len(names)].tolist():
            yield {name: count for name, count in zip(names, row, strict=True) if count}

    def parts(self) -> Iterator[Parts]:
        """Yield the words of each post, by part."""
        cut = len(self.format.separator)
        words = [word[cut:] for word in self.words.to_pylist()]
        starts = self.starts.tolist()
        for first in range(0, len(starts) - 1, SLOTS):
            yield {
                part: words[starts[first + slot] : starts[first + slot + 1]]
                for part, slot in self.slots.of.items()
            }


# danbooru.donmai.us/posts/2434953 with some of its tags, and a count that is not 0.
_EXAMPLE: Final = {"id": 2_434_953, "rating": RATINGS.index("general"), "count": 17, "day": "2016-07-26"}
_EXAMPLE_TAGS: Final = {
    "general": "1girl :q blonde_hair bracelet brown_eyes cape chibi earmuffs food_on_head full_body solo strawberry",
    "artist": "tis_(shan0x0shan)",
    "character": "toyosatomimi_no_miko",
    "copyright": "touhou",
    "meta": "highres",
}
_POPULAR: Final = 1_000_000


def example_caption(format: CaptionFormat) -> str:
    """Return the caption of the example post in a format; its quality is judged by the published scale."""
    names = [name for some in _EXAMPLE_TAGS.values() for name in some.split()]
    kinds = [TAG_TYPES.index(kind) for kind, some in _EXAMPLE_TAGS.items() for _ in some.split()]
    tags = TagColumns([*range(len(names))], names, kinds, [_POPULAR] * len(names))
    post_id, rating, count, day = ([value] for value in _EXAMPLE.values())
    post = TaggedPosts(
        *map(np.array, (post_id, rating, count)), day, np.array([len(names)]), np.array(tags.ids)
    )
    [parts] = Batch(format, Vocabulary(format, [tags]), post).parts()
    limit = limiter(format)
    return join_parts(limit(parts) if limit else parts, format)
