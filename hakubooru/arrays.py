"""Post ids as NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

Ids: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"
"""Post ids, (N,) int64."""

Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[Any]]"
"""A column of posts, or places in one, (N,)."""

_ROWS_A_READ: Final = 10_000_000
_SPARSE: Final = 16
_LEAST_SPARSE: Final = 2**24
"""Ids are sparse if they span more numbers than this, and more than 16 for each post."""


def ascending(ids: Ids) -> Ids:
    """Sort ids ascending, (N,) int64. Ids that consist of a few ascending runs are merged, which is faster."""
    return np.sort(ids, kind="stable")


def is_first(values: Ids) -> Values:
    """Whether each of some sorted values differs from the one before it, (N,) bool."""
    differs: Values = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def distinct(ids: Ids) -> Ids:
    """Sort ids ascending and leave out repetitions, (N,) int64; `np.unique` hashes whole numbers, which takes much longer."""
    ordered = np.sort(ids)
    return ordered[is_first(ordered)]


def id_text(ids: Iterable[int] | Ids) -> str:
    """Write ids as JSON text for SQL's `json_each(?)`. SQLite limits the number of variables, but not this list."""
    return str(ids.tolist() if isinstance(ids, np.ndarray) else [int(number) for number in ids])


def union(sets: Sequence[Ids]) -> Ids:
    """The ids of one or several sets, ascending, (N,) int64. Ascending sets that follow each other are only joined."""
    together = np.concatenate(sets)
    if (together[1:] > together[:-1]).all():
        return together
    together = ascending(together)
    return together[is_first(together)]


def is_among(values: Ids, ids: Ids) -> Values:
    """Whether each of some values is among ascending ids, (N,) bool; `np.isin` sorts both, which takes much longer."""
    if not len(ids):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return ids[places] == values  # type: ignore[no-any-return]


def by_id(ids: Ids, values: Values, other: int) -> Callable[[Ids], Values]:
    """A function that gives the values of posts, (R,), by their ids, and `other` for a post without one.

    It looks them up in a table, which is ten times as fast as a search, unless the ids are so sparse that the table is large.

    Args:
        ids: posts, (N,) int64, each once.
        values: their values, (N,).
        other: the value for all other posts.
    """
    first, last = (int(ids.min()), int(ids.max())) if len(ids) else (0, -1)
    if last - first > max(_SPARSE * len(ids), _LEAST_SPARSE):
        order = np.argsort(ids)
        in_order = ids[order]

        def search(posts: Ids) -> Values:
            places = np.searchsorted(in_order[:-1], posts)
            return np.where(in_order[places] == posts, values[order[places]], other)

        return search
    # The first and the last place stand for smaller and larger ids.
    table = np.full(last + 3 - first, other, values.dtype)
    table[ids + (1 - first)] = values
    return lambda posts: table.take(posts + (1 - first), mode="clip")


def narrow(values: Values) -> Values:
    """Convert whole numbers to the type of the fewest bytes in which all fit."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return values.astype(kind)
    return values


def read_ascending(connection: sqlite3.Connection, select: str, parameters: Sequence[Any]) -> Ids:
    """Read the ids that a statement selects, ascending, (N,) int64.

    SQLite joins up to ten million ids into one text, which NumPy parses: several times faster than row by row. All of
    Danbooru fits into one such read. A second read would make SQLite collect the posts of tags again.

    Args:
        connection: the connection to run the statement on.
        select: a statement that selects one column, `id`, ascending, and only ids above its last parameter.
        parameters: the parameters before the last one.
    """
    statement = f"SELECT group_concat(id), MAX(id), COUNT(*) FROM ({select} LIMIT {_ROWS_A_READ})"
    parts: list[Ids] = []
    last = -(2**63)
    while True:
        text, last, count = connection.execute(statement, [*parameters, last]).fetchone()
        if count:
            part = np.fromstring(text, dtype=np.int64, sep=",")
            # SQLite does not promise the order in which an aggregate reads its rows.
            parts.append(ascending(part))
        if count < _ROWS_A_READ:
            return np.concatenate(parts) if parts else np.empty(0, np.int64)
