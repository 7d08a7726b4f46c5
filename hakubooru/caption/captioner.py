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
from hakubooru.errors import InputError
from hakubooru.store.schema import RATINGS, TAG_TYPES
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.text import Parts
    from hakubooru.caption.words import Numbers
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 1_000  # more is slower: a batch then no longer fits the processor's cache
_TAGS_AT_MOST: Final = 2**40
_FEW: Final = 1_500
"""For up to this many posts, captions are cached, and only the tags that these posts bear are read."""

_ROWS: Final = """
SELECT post.id, post.rating, post.{count}, coalesce(substr(post.created_at, 1, 10), ''),
       (SELECT group_concat(tag_id) FROM {relations})
FROM json_each(?) AS wanted CROSS JOIN post ON post.id = wanted.value
"""
# Tags come in the order of their relations. An index on the post alone holds them in that order, by the format of the
# file. Without such an index they are sorted.
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
        statement = _ROWS.format(count=self.format.quality_by, relations=self._relations())
        for start in range(0, len(ids), _POSTS_A_BATCH):
            some = ids[start : start + _POSTS_A_BATCH]
            rows = self.database.rows(statement, [id_text(some)])
            if len(rows) < len(some):
                missing = min(set(some.tolist()) - {row[0] for row in rows})
                raise InputError(f"{self.database.path} has no post {missing}; select posts of this database")
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
        # Another process reads the words again: that is faster than sending them.
        return Captioner, (self.database, self.format)


class Batch:
    """The words of up to 1,000 posts, sorted by post and slot.

    Labels and free text are words just as tags are: each has a place in the vocabulary, and a slot.
    """

    def __init__(self, format: CaptionFormat, vocabulary: Vocabulary, rows: list[Any]) -> None:
        import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
        import pyarrow.compute as pc  # noqa: PLC0415

        self.format = format
        self.slots = vocabulary.slots
        self.ids, ratings, counts, days, texts = zip(*rows, strict=True)
        columns = [_tags_of(texts, vocabulary, repeats=format.repeats)]
        for slot, labels in vocabulary.labels.of_posts(self.ids, ratings, counts, days):
            posts = np.flatnonzero(labels).astype(np.uint16)
            columns.append((posts, np.full(len(posts), slot, np.uint16), labels[posts]))
        posts, slots, places = (np.concatenate(arrays) for arrays in zip(*columns, strict=True))
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


def _tags_of(
    texts: Sequence[str | None], vocabulary: Vocabulary, *, repeats: bool
) -> tuple[Numbers, Numbers, Numbers]:
    """Return for each tag of each post: the post's number in the batch, the tag's slot, and its place.

    Args:
        texts: the tag ids of each post, separated by commas; None for a post without tags.
        vocabulary: the words.
        repeats: keep a tag that a post bears twice.
    """
    counts = [text.count(",") + 1 if text else 0 for text in texts]
    written = ",".join([text for text in texts if text])
    tags = np.fromstring(written, dtype=np.int64, sep=",") if written else np.empty(0, np.int64)
    posts = np.repeat(np.arange(len(texts), dtype=np.uint16), counts)
    if not repeats:
        posts, tags = _once(posts, tags)
    return posts, *vocabulary.slots_and_places(tags)


def _once(posts: Numbers, tags: Numbers) -> tuple[Numbers, Numbers]:
    """Return posts and their tags, (N,) each, without repeated tags: a file may hold a relation twice."""
    pairs = posts * np.int64(_TAGS_AT_MOST) + tags
    ascending = np.sort(pairs)
    if not (ascending[1:] == ascending[:-1]).any():
        return posts, tags
    first = np.sort(np.unique(pairs, return_index=True)[1])
    return posts[first], tags[first]


# danbooru.donmai.us/posts/2434953 with some of its tags, and a count that is not 0.
_EXAMPLE: Final = (2_434_953, RATINGS.index("general"), 17, "2016-07-26")
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
    row = (*_EXAMPLE, ",".join(map(str, tags.ids)))
    [parts] = Batch(format, Vocabulary(format, [tags]), [row]).parts()
    limit = limiter(format)
    return join_parts(limit(parts) if limit else parts, format)
