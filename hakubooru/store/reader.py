"""Read many rows of a file in constant memory: SQLite joins a piece of rows into one text, which NumPy parses.

Two threads read at the same time, because SQLite does not hold Python's lock while it scans.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store

    Flags: TypeAlias = np.ndarray[tuple[int], np.dtype[np.bool_]]
    Pairs: TypeAlias = tuple[Ids, Ids, int]
    """Post ids and tag ids, (R,) int64 each, and the id of the piece's last row."""
    _Where: TypeAlias = tuple[str, Sequence[Any]]
    """A further condition on rows, and its parameters."""

_THREADS: Final = min(2, os.cpu_count() or 1)
_ROWS_A_PIECE: Final = 1_000_000
_FILTERED_A_PIECE: Final = (
    50_000  # the matches of about a million rows, so that Ctrl-C takes effect in between
)
_POSTS_A_PIECE: Final = 20_000
_POST_OF: Final = {"post": "id", "posttagrelation": "post_id"}
_ALL: Final = ("", ())


def relations(database: Store, tags: Flags | None = None) -> Iterator[Pairs]:
    """All relations of a file, a piece at a time; each piece is the rows of a range.

    Args:
        database: the file.
        tags: a flag for each tag id, (T,) bool: whether to read its relations; by default, all are read.
    """
    bits = _tag_bits(database)
    pieces = _scanned(database, "posttagrelation", f"post_id << {bits} | tag_id", _only(tags))
    return (_unpacked(text, bits, last) for text, last in pieces)


def relations_of(database: Store, ids: Ids, tags: Flags | None = None) -> Iterator[Pairs]:
    """The relations of some posts, all of a post in one piece; the posts in any order.

    Args:
        database: the file.
        ids: posts, (N,) int64, each once.
        tags: a flag for each tag id, (T,) bool: whether to read its relations; by default, all are read.
    """
    bits = _tag_bits(database)
    value = f"post_id << {bits} | tag_id"
    pieces = _looked_up(database, "posttagrelation", value, ids, _only(tags))
    return (_unpacked(text, bits, last) for text, last in pieces)


def relation_rows_of(database: Store, ids: Ids) -> Iterator[tuple[Ids, Ids, Ids]]:
    """Iterate over the relations of posts in pieces: row ids, post ids and tag ids, (R,) int64 each."""
    bits = _tag_bits(database)
    # One text for each row keeps its two numbers together, in whatever order SQLite joins the rows.
    value = f"id || ',' || (post_id << {bits} | tag_id)"
    for text, _ in _looked_up(database, "posttagrelation", value, ids):
        rows, packed = np.fromstring(text, np.int64, sep=",").reshape(-1, 2).T
        yield rows, packed >> bits, packed & ((1 << bits) - 1)


def years(database: Store, ids: Ids, *, few: bool) -> Ids:
    """The year of each post's date as the file writes it, (N,) int64; 0 for a post without a date.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, each once.
        few: whether to look up the posts, in place of a scan of the table.
    """
    value = "id * 10000 + max(0, min(9999, CAST(substr(ifnull(created_at, ''), 1, 4) AS INTEGER)))"
    texts = _looked_up(database, "post", value, ids) if few else _scanned(database, "post", value)
    parts = [np.fromstring(text, np.int64, sep=",") for text, _ in texts]
    pairs = np.sort(np.concatenate([np.empty(0, np.int64), *parts]), kind="stable")
    of_posts: Ids = pairs[np.searchsorted(pairs, ids * 10_000)] % 10_000
    return of_posts


def _scanned(database: Store, table: str, value: str, only: _Where = _ALL) -> Iterator[tuple[str, int]]:
    """Scan a table in pieces: the value of each row, joined by commas, and the id of the last row of the piece."""
    where, parameters = only
    count = _FILTERED_A_PIECE if where else _ROWS_A_PIECE
    sql = (
        f"SELECT COUNT(*), MAX(id), group_concat(value) FROM (SELECT id, {value} AS value "
        f"FROM {table} WHERE id > ? AND id <= ? {where} ORDER BY id LIMIT {count})"
    )

    def share(low: int, high: int) -> Iterator[tuple[str, int]]:
        rows = count
        while rows == count:
            ((rows, low, text),) = database.rows(sql, [low, high, *parameters])
            if rows:
                yield text, low

    # Two subqueries: SQLite reads MIN and MAX from the ends of a table only if each stands alone.
    ends = f"ifnull((SELECT MIN(id) FROM {table}), 1) - 1, ifnull((SELECT MAX(id) FROM {table}), 0)"
    ((first, last),) = database.rows(f"SELECT {ends}")
    edges = [first + (last - first) * place // _THREADS for place in range(_THREADS + 1)]
    return _in_parallel([share(edges[place], edges[place + 1]) for place in range(_THREADS)])


def _looked_up(
    database: Store, table: str, value: str, ids: Ids, only: _Where = _ALL
) -> Iterator[tuple[str, int]]:
    """Look up the rows of posts in pieces: the value of each row, joined by commas, and the id of the last row."""
    where, parameters = only
    sql = (
        f"SELECT group_concat({value}), MAX(id) FROM {table} "
        f"WHERE {_POST_OF[table]} IN (SELECT value FROM json_each(?)) {where}"
    )

    def share(posts: Ids) -> Iterator[tuple[str, int]]:
        for start in range(0, len(posts), _POSTS_A_PIECE):
            piece = id_text(posts[start : start + _POSTS_A_PIECE])
            ((text, last),) = database.rows(sql, [piece, *parameters])
            if text:
                yield text, last

    return _in_parallel([share(posts) for posts in np.array_split(ids, _THREADS)])


def _only(tags: Flags | None) -> _Where:
    # A lookup in a blob is several times faster than one in an index.
    return _ALL if tags is None else ("AND substr(?, tag_id + 1, 1) = x'01'", (tags.tobytes(),))


def _tag_bits(database: Store) -> int:
    """How many bits the largest tag id of the file takes."""
    return int(database.scalar("SELECT ifnull(MAX(id), 0) FROM tag")).bit_length()


def _unpacked(text: str, bits: int, last: int) -> Pairs:
    packed = np.fromstring(text, np.int64, sep=",")
    return packed >> bits, packed & ((1 << bits) - 1), last


def _in_parallel(shares: list[Iterator[Any]]) -> Iterator[Any]:
    """Merge iterators, each of which computes one item ahead in a thread of its own."""
    with ThreadPoolExecutor(len(shares)) as pool:
        ahead = deque((share, pool.submit(next, share, None)) for share in shares)
        while ahead:
            share, future = ahead.popleft()
            piece = future.result()
            if piece is not None:
                ahead.append((share, pool.submit(next, share, None)))
                yield piece
