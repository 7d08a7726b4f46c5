"""Captioning many posts: one query for each batch, whose words lie in one array that is cut into captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrays import as_ids, flags, integers, strings
from hakubooru.caption.format import KEEP
from hakubooru.caption.presets import caption_format
from hakubooru.caption.scale import QualityScale
from hakubooru.caption.text import count_parts, join_parts, join_sides, limiter
from hakubooru.caption.words import FIRST, LEFT_OUT, SLOTS, Vocabulary
from hakubooru.engine.posts import TaggedPosts, read_posts, tag_table
from hakubooru.store.schema import RATINGS, TAG_TYPES
from hakubooru.store.store import check_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.measuring import Numbers
    from hakubooru.caption.scale import Grades
    from hakubooru.caption.text import Parts
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 1_000  # more is slower: a batch then no longer fits the processor's cache
_FEW: Final = 1_500
"""For up to this many posts, captions are cached, and only the tags that these posts bear are read."""


class Captioned(NamedTuple):
    """A post's caption, and how many of its tags belong to each part."""

    id: int
    """The post's id."""
    caption: str
    """The caption's text."""
    parts: dict[str, int]
    """How many tags of the caption each part has, in the order of the caption; parts without tags are left out."""


class Captioner:
    """Writes captions of the posts of one database in one format.

    `dict(hb.Captioner(db, "danbooru").captions([1, 2]))` gives the captions of two posts. For the posts of a selection,
    `selection.captions("danbooru")` is shorter.
    """

    def __init__(
        self,
        database: Store,
        format: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon",
    ) -> None:
        """Resolve the format; of the database, only the scale for `quality_scale = "database"` is read now.

        Args:
            database: an open database, as `hb.open` returns it.
            format: the name of a preset (`hakubooru caption --list`), a format, or a table of its fields, such as
                `{"base": "kohaku-epsilon", "max_tags": 60}`.

        Raises:
            InputError: `database` is a path.
            CaptionFormatError: the format is not valid, or a column that it names is not joined; the message names the
                field.
        """
        check_open(database, "Captioner")
        self.database = database
        self.format = caption_format(format).resolved(database)
        self._columns = self.format.columns()
        has_limit = self.format.max_tags is not None or self.format.max_tokens is not None
        self._limit = limiter(self.format) if has_limit else None
        self._is_plain = self.format.layout == "text" and not has_limit
        self._words: Vocabulary | None = None
        self._asked = 0
        self._known: dict[int, Captioned] = {}

    def prepare(self, ids: Iterable[int]) -> None:
        """Caption up to 1,500 posts now and cache them. With more posts, nothing is cached.

        Args:
            ids: posts, (N,) int64, or any other iterable of ids.

        Raises:
            InputError: an entry is not an id, or the database has no post of it.
        """
        posts = as_ids(ids)
        if len(posts) <= _FEW:
            self._known = {one.id: one for one in self.captioned(posts)}

    def captions(self, ids: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yield ids and captions in the order of `ids`; posts are read in batches.

        Args:
            ids: posts, (N,) int64, or any other iterable of ids.

        Raises:
            InputError: an entry is not an id, or the database has no post of it.
        """
        for batch in self._batches(ids):
            if self._is_plain:
                texts = batch.texts()
            else:
                texts = [join_parts(parts, self.format) for parts in self._parts(batch)]
            yield from zip(batch.ids, texts, strict=True)

    def captioned(self, ids: Iterable[int]) -> Iterator[Captioned]:
        """Yield captions with the tags of each part counted, as `CaptionChange` needs them, in the order of `ids`.

        Args:
            ids: posts, (N,) int64, or any other iterable of ids.

        Raises:
            InputError: an entry is not an id, or the database has no post of it.
        """
        if self._known:
            ids = as_ids(ids)
            known = [self._known[number] for number in ids.tolist() if number in self._known]
            if len(known) == len(ids):
                yield from known
                return
        for batch in self._batches(ids):
            if self._is_plain:
                texts, counts = batch.texts(), batch.counts()
            else:
                parts = list(self._parts(batch))
                texts = [join_parts(some, self.format) for some in parts]
                counts = [count_parts(some, self.format) for some in parts]
            yield from map(Captioned, batch.ids, texts, counts)

    def parts(self, ids: Iterable[int]) -> Iterator[tuple[int, Parts]]:
        """Yield ids and the words of each part of the format, in the order of `ids`.

        Args:
            ids: posts, (N,) int64, or any other iterable of ids.

        Raises:
            InputError: an entry is not an id, or the database has no post of it.
        """
        for batch in self._batches(ids):
            yield from zip(batch.ids, self._parts(batch), strict=True)

    def _parts(self, batch: Batch) -> Iterator[Parts]:
        return batch.parts() if self._limit is None else map(self._limit, batch.parts())

    def _batches(self, ids: Iterable[int]) -> Iterator[Batch]:
        ids = as_ids(ids)
        self._asked += len(ids)
        posts: Iterable[TaggedPosts] = read_posts(
            self.database,
            ids,
            self._columns,
            posts_a_batch=_POSTS_A_BATCH,
            repeats=self.format.repeats,
        )
        words = self._words
        if words is None and self._asked <= _FEW:
            posts = list(posts)
            words = Vocabulary(self.format, tag_table(self.database, posts))
        elif words is None:
            words = self._words = Vocabulary(self.format, tag_table(self.database))
        return (Batch(self.format, words, some) for some in posts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process reads the words again: that is faster than sending them.
        return Captioner, (self.database, self.format)


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


# danbooru.donmai.us/posts/2434953 with some of its tags, and a count that is not 0.
_ID, _RATING, _DAY = 2_434_953, RATINGS.index("general"), "2016-07-26"
_EXAMPLE_COUNT: Final = 17
_EXAMPLE_PERCENTILE: Final = 80
_EXAMPLE_TEXT: Final = "A girl in a purple cape carries a strawberry on her head."
_EXAMPLE_TAGS: Final = {
    "general": "1girl :q blonde_hair bracelet brown_eyes cape chibi earmuffs food_on_head full_body solo strawberry",
    "artist": "tis_(shan0x0shan)",
    "character": "toyosatomimi_no_miko",
    "copyright": "touhou",
    "meta": "highres",
}
_POPULAR: Final = 1_000_000


def example_caption(format: CaptionFormat) -> str:
    """Return the caption of the example post in a format.

    Its quality is judged by the published scale. Where a scale is to be measured, the post is one at the 80th percentile.
    """
    import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package

    measured = {part for part, grades in format.grades.items() if grades.scale == "database"}
    shape = format.with_scales({part: _example_scale(format.grades[part]) for part in measured})
    names = [name for some in _EXAMPLE_TAGS.values() for name in some.split()]
    kinds = [TAG_TYPES.index(kind) for kind, some in _EXAMPLE_TAGS.items() for _ in some.split()]
    places = np.arange(len(names))
    popularities = np.full(len(names), _POPULAR)
    columns = [
        integers(places, pa.int64()),
        strings(names),
        *(integers(some, pa.int64()) for some in (kinds, popularities)),
    ]
    tags = pa.Table.from_arrays(columns, ["id", "name", "type", "popularity"])
    numbers = {part: [_EXAMPLE_PERCENTILE if part in measured else _EXAMPLE_COUNT] for part in shape.grades}
    texts = [_EXAMPLE_TEXT] if "text" in shape.order else None
    values: dict[str, list[Any]] = numbers if texts is None else {**numbers, "text": texts}
    bears = np.array([len(names)]), places
    post = TaggedPosts(np.array([_ID]), np.array([_RATING]), [_DAY], *bears, values)
    [parts] = Batch(shape, Vocabulary(shape, tags), post).parts()
    return join_parts(limiter(shape)(parts), shape)


def _example_scale(grades: Grades) -> QualityScale:
    """A scale on which the number at a percentile is the percentile."""
    percentiles = tuple(sorted(p for _, p in grades.labels))
    return QualityScale(percentiles, (percentiles,) * len(RATINGS))
