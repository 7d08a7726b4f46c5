"""Read the relations of posts and tags, in constant memory and in two threads at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from hakubooru.arrays import id_text
from hakubooru.store.reader import THREADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store

    Rows: TypeAlias = tuple[Ids, Ids, Ids]
    """Row ids, post ids and tag ids of some relations, (R,) int64 each."""

ROWS_A_PIECE: Final = 1_000_000
"""How many relations a piece of a scan has."""

_POSTS_A_PIECE: Final = 20_000
_TABLE: Final = "posttagrelation"
_SPAN: Final = 16_000_000
_MOST_SPANS: Final = 1000  # of a file whose row ids lie far apart
_ROWS_A_LOOKUP: Final = 65_536
_ROWS_OF_TAGS: Final = (
    f"SELECT id, tag_id FROM {_TABLE} WHERE tag_id IN (SELECT value FROM json_each(?)) AND id > ? AND id <= ?"
)
_POSTS_OF_ROWS: Final = f"SELECT post_id FROM json_each(?) AS wanted CROSS JOIN {_TABLE} AS relation ON relation.id = wanted.value"


def relations(store: Store, *, rows: int = ROWS_A_PIECE) -> Iterator[Rows]:
    """Iterate over all relations of a file in pieces, each of `rows` neighbouring rows."""
    for _, (numbers, posts, tags) in store.scan(_TABLE, "id, post_id, tag_id", rows=rows):
        yield numbers, posts, tags


def relations_of(store: Store, ids: Ids) -> Iterator[Rows]:
    """Iterate over the relations of some posts, looked up by an index; all relations of a post are in one piece.

    Args:
        store: the file.
        ids: posts, (N,) int64, each once, in any order.
    """
    reader = store.reader
    sql = f"SELECT id, post_id, tag_id FROM {_TABLE} WHERE post_id IN (SELECT value FROM json_each(?))"

    def share(posts: Ids) -> Iterator[Rows]:
        for start in range(0, len(posts), _POSTS_A_PIECE):
            listed = id_text(posts[start : start + _POSTS_A_PIECE])
            rows, of_posts, tags = reader.table(sql, [listed], columns=3, table=_TABLE)
            yield rows, of_posts, tags

    return reader.in_parallel([share(posts) for posts in np.array_split(ids, THREADS)])


def posts_of_tags(store: Store, tags: Ids, *, span: int = _SPAN) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the relations of some tags, looked up by an index: post ids and tag ids, (R,) int64 each.

    The index has a tag's rows, and the table their posts. Looked up tag by tag, each page of the table would be read again
    for most of its rows. So the rows are sorted before their posts are looked up, and a tag's relations lie in several pieces.

    Args:
        store: the file.
        tags: ids of tags, (T,) int64, each once.
        span: rows are sorted together if they lie in the same range of this many row ids.
    """
    reader = store.reader
    listed = id_text(tags)
    first, last = store.ends(_TABLE)
    span = max(span, (last - first) // _MOST_SPANS)
    starts = range(first - 1, last, span)

    def share(starts: range) -> Iterator[tuple[Ids, Ids]]:
        for start in starts:
            rows, of_rows = reader.table(
                _ROWS_OF_TAGS, [listed, start, min(start + span, last)], columns=2, table=_TABLE
            )
            order = np.argsort(rows)
            for some in np.split(order, range(_ROWS_A_LOOKUP, len(order), _ROWS_A_LOOKUP)):
                posts = reader.column(_POSTS_OF_ROWS, [id_text(rows[some])], table=_TABLE)
                yield posts, of_rows[some]

    return reader.in_parallel([share(starts[place::THREADS]) for place in range(THREADS)])
