"""The tags of a batch of posts: the names of all, and for each post its places there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import as_numbers, is_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from hakubooru.arrays import Values

UNTYPED: Final = -1
"""The type of a tag that a record lists without its type."""
_MOST_NAMES: Final = 250_000  # some 40 MB; Danbooru has a million, of which most are rare


class NameNumbers:
    """A number for each name of a tag, the same in all batches: so a writer looks up a name once, not once a batch.

    If there are more than `most` names, they are forgotten. Then a name gets another number; no number is used twice.
    """

    def __init__(self, most: int = _MOST_NAMES) -> None:
        self._most = most
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)

    def numbers(self, names: Sequence[str]) -> Values:
        """The number of each name, (V,) int64."""
        if len(self._numbers) > self._most:
            self._numbers.clear()
        return np.fromiter(map(self._numbers.__getitem__, names), np.int64, len(names))


@dataclass(frozen=True)
class PostTags:
    """The tags of some posts, each once for a post and in the order of its record."""

    names: list[str]
    """The names of all tags, (V,), in the order in which they appear first."""
    numbers: Values
    """The number of each name in the vocabulary, (V,) int64."""
    types: Values
    """The greatest type that a record has for each name, (V,) int8; `UNTYPED` if none has one."""
    places: Values
    """The place in `names` of each tag, (T,) int32, the tags of one post after those of another."""
    starts: Values
    """Where the tags of each post begin in `places`, and where the last ones end, (P + 1,) int64."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self) -> Values:
        """How many tags each post has, (P,) int64."""
        return np.diff(self.starts)

    def of(self, post: int) -> dict[str, int]:
        """The types of a post's tags by name, in their order."""
        places = self.places[self.starts[post] : self.starts[post + 1]]
        names = map(self.names.__getitem__, places.tolist())
        return dict(zip(names, self.types[places].tolist(), strict=True))

    def take(self, posts: Sequence[int]) -> PostTags:
        """The tags of some of the posts, in the order that is given."""
        rows = np.asarray(posts, np.int64)
        counts = self.counts()[rows]
        starts = _starts(counts)
        places = self.places[np.repeat(self.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])]
        order, places = _in_order(len(self.names), places)
        names = [self.names[place] for place in order.tolist()]
        return PostTags(names, self.numbers[order], self.types[order], places, starts)


def tags_of_dicts(posts: Sequence[dict[str, int]], vocabulary: NameNumbers) -> PostTags:
    """Make the tags of posts from the types by name of each."""
    types: dict[str, int] = {}
    for tags in posts:
        for name, number in tags.items():
            types[name] = max(number, types.get(name, UNTYPED))
    names = list(types)
    place_of = {name: place for place, name in enumerate(names)}
    places = np.array([place_of[name] for tags in posts for name in tags], np.int32)
    starts = _starts(np.array([len(tags) for tags in posts], np.int64))
    numbers = vocabulary.numbers(names)
    return PostTags(names, numbers, np.array(list(types.values()), np.int8), places, starts)


def tags_of_texts(
    columns: Sequence[tuple[int, pa.StringArray]], separator: str, vocabulary: NameNumbers
) -> PostTags:
    """Make the tags of posts from texts of names.

    A name that stands in several texts of a post has its place by the first and its type by the last. An empty name is none.

    Args:
        columns: the type of the names of each column, ascending, and the text of each post; at least one column.
        separator: the text between two names.
        vocabulary: the numbers of names.
    """
    many = len(columns[0][1])
    names, pairs = _cut([texts for _, texts in columns], separator)
    types = np.full(len(names), UNTYPED, np.int8)
    for (kind, _), (_, places) in zip(columns, pairs, strict=True):
        types[places] = kind
    posts, places = pairs[0]
    keys = [rows * len(names) + numbers for rows, numbers in pairs]
    if not _only_types(keys):
        _, firsts = np.unique(np.concatenate(keys), return_index=True)
        posts, places = (np.concatenate(arrays)[firsts] for arrays in zip(*pairs, strict=True))
        in_order = np.lexsort((firsts, posts))
        order, places = _in_order(len(names), places[in_order])
        names, types = [names[place] for place in order.tolist()], types[order]
    starts = _starts(np.bincount(posts, minlength=many))
    return PostTags(names, vocabulary.numbers(names), types, places, starts)


def _only_types(keys: Sequence[Values]) -> bool:
    """Whether the first column has each tag of a post once, and the others only its types, as in Danbooru's own records."""
    first = np.sort(keys[0])
    return bool(is_first(first).all()) and (
        len(keys) == 1 or np.array_equal(first, np.sort(np.concatenate(keys[1:])))
    )


def _cut(columns: Sequence[pa.StringArray], separator: str) -> tuple[list[str], list[tuple[Values, Values]]]:
    """Cut columns of texts into names: all names, and for each column the post of each name and its place."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only tags as texts need it
    import pyarrow.compute as pc  # noqa: PLC0415

    lists = [pc.split_pattern(texts, separator) for texts in columns]
    encoded = pa.concat_arrays([some.flatten() for some in lists]).dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    places = as_numbers(encoded.indices, np.int32)
    is_name = None
    if "" in names:
        empty = names.index("")
        is_name = places != empty
        places = places - (places > empty)
        del names[empty]
    pairs, start = [], 0
    for some in lists:
        posts = np.repeat(np.arange(len(some)), np.diff(as_numbers(some.offsets, np.int32)))
        part = slice(start, start + len(posts))
        start += len(posts)
        pairs.append(
            (posts, places[part]) if is_name is None else (posts[is_name[part]], places[part][is_name[part]])
        )
    return names, pairs


def _starts(counts: Values) -> Values:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _in_order(many: int, places: Values) -> tuple[Values, Values]:
    """Number the names that appear by their first appearance: which of `many` names these are, and the new places."""
    first = np.full(many, len(places))
    first[places[::-1]] = np.arange(len(places))[::-1]  # of equal places, NumPy keeps the last
    order = np.argsort(first)[: np.count_nonzero(first < len(places))]
    new = np.empty(many, np.int32)
    new[order] = np.arange(len(order))
    return order, new[places]
