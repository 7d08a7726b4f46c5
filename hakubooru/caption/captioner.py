"""Captioning many posts: one query for each batch, then arrays instead of a Python loop over tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrays import as_ids
from hakubooru.arrow import integers, strings
from hakubooru.caption.batch import Batch
from hakubooru.caption.presets import caption_format
from hakubooru.caption.scale import QualityScale
from hakubooru.caption.text import count_parts, join_parts, limiter
from hakubooru.caption.words import Vocabulary
from hakubooru.engine.posts import TaggedPosts, read_posts, tag_table
from hakubooru.store.schema import RATINGS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
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
            CaptionFormatError: the format is not valid, or a column that it names is not joined; the message names the
                field.
        """
        self.database = database
        self.format = caption_format(format).resolved(database)
        self._columns = {part: one.by for part, one in self.format.grades.items()}
        if "text" in self.format.order:
            self._columns["text"] = self.format.text
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
            self._known = {one.id: one for one in self._captioned(posts)}

    def captions(self, ids: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yield ids and captions in the order of `ids`; posts are read in batches.

        Args:
            ids: posts, (N,) int64, or any other iterable of ids.

        Raises:
            InputError: an entry is not an id, or the database has no post of it.
        """
        for batch in self._batches(as_ids(ids)):
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
        posts = as_ids(ids)
        known = [*map(self._known.get, posts.tolist())] if self._known else [None]
        if None not in known:
            yield from filter(None, known)
        else:
            yield from self._captioned(posts)

    def _captioned(self, ids: Ids) -> Iterator[Captioned]:
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
        for batch in self._batches(as_ids(ids)):
            yield from zip(batch.ids, self._parts(batch), strict=True)

    def _parts(self, batch: Batch) -> Iterator[Parts]:
        return batch.parts() if self._limit is None else map(self._limit, batch.parts())

    def _batches(self, ids: Ids) -> Iterator[Batch]:
        self._asked += len(ids)
        posts = read_posts(
            self.database,
            ids,
            self._columns,
            posts_a_batch=_POSTS_A_BATCH,
            repeats=self.format.repeats,
        )
        if self._words is None and self._asked <= _FEW:
            few = list(posts)
            words = self._words_of(few)
            return (Batch(self.format, words, some) for some in few)
        if self._words is None:
            self._words = Vocabulary(self.format, tag_table(self.database))
        words = self._words
        return (Batch(self.format, words, some) for some in posts)

    def _words_of(self, posts: Sequence[TaggedPosts]) -> Vocabulary:
        """Build the words of the tags that some posts bear."""
        tags = np.concatenate([np.empty(0, np.int64), *[some.tags for some in posts]])
        return Vocabulary(self.format, tag_table(self.database, tags))

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process reads the words again: that is faster than sending them.
        return Captioner, (self.database, self.format)


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
