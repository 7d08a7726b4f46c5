"""Post ids as NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

Ids: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"
"""Post ids, (N,) int64."""

Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[Any]]"
"""A column of posts, or places in one, (N,)."""

_ROWS_A_READ: Final = 10_000_000


def ascending(ids: Ids) -> Ids:
    """The same, sorted; where they consist of a few ascending runs, as ours do, at the price of merging those."""
    return np.sort(ids, kind="stable")


def read_ascending(connection: sqlite3.Connection, select: str, parameters: Sequence[Any]) -> Ids:
    """The ids that a statement selects, ascending, (N,) int64.

    SQLite joins ten million ids into one text, which NumPy reads: several times faster than a row at a time. That
    is all of Danbooru in one go, because every further one makes SQLite gather the posts of tags anew.

    Args:
        connection: where to run it.
        select: a statement that gives one column, `id`, in ascending order, above its last parameter.
        parameters: its other parameters.
    """
    statement = f"SELECT group_concat(id), MAX(id), COUNT(*) FROM ({select} LIMIT {_ROWS_A_READ})"
    parts: list[Ids] = []
    last = -(2**63)
    while True:
        text, last, count = connection.execute(statement, [*parameters, last]).fetchone()
        if count:
            part = np.fromstring(text, dtype=np.int64, sep=",")
            # The order in which an aggregate meets its rows is custom, not promise.
            parts.append(ascending(part))
        if count < _ROWS_A_READ:
            return np.concatenate(parts) if parts else np.empty(0, np.int64)
