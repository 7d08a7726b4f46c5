"""The tags of a batch of posts: one vocabulary of names, and for each post its places there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrow import strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    Numbers = np.ndarray[Any, Any]
    Values = Sequence[str | None]

UNTYPED: Final = -1
"""The type of a tag that a record lists without its type."""


@dataclass(frozen=True)
class PostTags:
    """The tags of some posts, each once for a post and in the order of its record."""

    names: list[str]
    """The names of all tags, (V,), in the order in which they appear first."""
    types: list[int]
    """The greatest type that a record has for each name, (V,); `UNTYPED` if none has one."""
    places: Numbers
    """The place in `names` of each tag, (T,) int64, the tags of one post after those of another."""
    starts: Numbers
    """Where the tags of each post begin in `places`, and where the last ones end, (P + 1,) int64."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self) -> Numbers:
        """How many tags each post has, (P,) int64."""
        return np.diff(self.starts)

    def of(self, post: int) -> dict[str, int]:
        """The types of a post's tags by name, in their order."""
        places = self.places[self.starts[post] : self.starts[post + 1]].tolist()
        return {self.names[place]: self.types[place] for place in places}

    def take(self, posts: Sequence[int]) -> PostTags:
        """The tags of some of the posts, in the order that is given."""
        rows = np.asarray(posts, np.int64)
        counts = self.counts()[rows]
        starts = _starts(counts)
        places = self.places[np.repeat(self.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])]
        return _in_order(self.names, self.types, places, starts)


def tags_of_dicts(posts: Sequence[dict[str, int]]) -> PostTags:
    """Make the tags of posts from the types by name of each."""
    types: dict[str, int] = {}
    for tags in posts:
        for name, number in tags.items():
            types[name] = max(number, types.get(name, UNTYPED))
    places = {name: place for place, name in enumerate(types)}
    numbers = np.array([places[name] for tags in posts for name in tags], np.int64)
    counts = np.array([len(tags) for tags in posts], np.int64)
    return PostTags(list(types), list(types.values()), numbers, _starts(counts))


def tags_of_texts(columns: Sequence[tuple[int, Values]], separator: str) -> PostTags:
    """Make the tags of posts from texts of names.

    A name that stands in several texts of a post has its place by the first and its type by the last. An empty name is none.

    Args:
        columns: the type of the names of each column, ascending, and the text of each post; at least one column.
        separator: the text between two names.
    """
    many = len(columns[0][1])
    names, pairs = _cut([texts for _, texts in columns], separator)
    types = np.full(len(names), UNTYPED)
    for (number, _), (_, numbers) in zip(columns, pairs, strict=True):
        types[numbers] = number
    keys = [posts * len(names) + numbers for posts, numbers in pairs]
    if _are_distinct(first := np.sort(keys[0])):
        rest = np.sort(np.concatenate(keys[1:] or keys))
        if np.array_equal(
            first, rest
        ):  # the rest only has the types of the first, as in Danbooru's own records
            posts, numbers = pairs[0]
            counts = np.bincount(posts, minlength=many)
            return PostTags(names, types.tolist(), numbers, _starts(counts))
    _, firsts = np.unique(np.concatenate(keys), return_index=True)
    posts, numbers = (np.concatenate(arrays)[firsts] for arrays in zip(*pairs, strict=True))
    order = np.lexsort((firsts, posts))
    starts = _starts(np.bincount(posts, minlength=many))
    return _in_order(names, types.tolist(), numbers[order], starts)


def _cut(columns: Sequence[Values], separator: str) -> tuple[list[str], list[tuple[Numbers, Numbers]]]:
    """Cut columns of texts into names: the vocabulary, and for each column the post of each name and its place."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only tags as texts need it
    import pyarrow.compute as pc  # noqa: PLC0415

    lists = [pc.split_pattern(strings(texts), separator) for texts in columns]
    encoded = pa.concat_arrays([some.flatten() for some in lists]).dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    places = np.frombuffer(encoded.indices.buffers()[1], np.int32)[: len(encoded)].astype(np.int64)
    if "" in names:
        empty = names.index("")
        is_name = places != empty
        places -= places > empty
        del names[empty]
    else:
        is_name = np.ones(len(places), np.bool_)
    pairs, start = [], 0
    for some in lists:
        starts = np.frombuffer(some.buffers()[1], np.int32)[: len(some) + 1]
        posts = np.repeat(np.arange(len(some)), np.diff(starts))
        part = slice(start, start + len(posts))
        pairs.append((posts[is_name[part]], places[part][is_name[part]]))
        start += len(posts)
    return names, pairs


def _are_distinct(ascending: Numbers) -> bool:
    return bool((ascending[1:] != ascending[:-1]).all())


def _starts(counts: Numbers) -> Numbers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _in_order(names: list[str], types: list[int], places: Numbers, starts: Numbers) -> PostTags:
    """Number the names that appear by their first appearance, and leave out the others."""
    first = np.full(len(names), len(places))
    first[places[::-1]] = np.arange(len(places))[::-1]  # of equal places, NumPy keeps the last
    order = np.argsort(first)[: np.count_nonzero(first < len(places))]
    numbers = np.empty(len(names), np.int64)
    numbers[order] = np.arange(len(order))
    kept = order.tolist()
    return PostTags(
        [names[place] for place in kept], [types[place] for place in kept], numbers[places], starts
    )
