"""Tools for large writes: exclusive access, transactions, inserts of many rows, and long statements."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.progress import progress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from hakubooru.arrays import Values

_PAIRS: Final = 400  # every SQLite takes 999 variables
_CACHE_KIB: Final = 65536
# SQLite sorts as many rows at a time as its cache holds. Sorting 3.5 million rows took three times as long with 64 MiB
# as with 2 MiB, SQLite's default: a larger list does not fit into the processor's cache.
_SORTING_CACHE_KIB: Final = 2000
_STEPS_A_TICK: Final = 1_000_000


def hold(connection: sqlite3.Connection) -> None:
    """Lock the file against all other processes until the connection is closed.

    Raises:
        sqlite3.OperationalError: another process has locked the file for longer than the connection's timeout.
    """
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Some systems build SQLite so that it writes zeros over all that is deleted: over a whole table that is rebuilt, too.
    connection.execute("PRAGMA secure_delete = OFF")
    with transaction(connection, "EXCLUSIVE"):
        pass


@contextmanager
def transaction(connection: sqlite3.Connection, lock: str = "IMMEDIATE") -> Iterator[None]:
    """Run the statements of a `with` block in one transaction; an error rolls it back."""
    connection.execute(f"BEGIN {lock}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def insert_relations(connection: sqlite3.Connection, posts: Values, tags: Values) -> None:
    """Insert rows of relations, many with each statement: for rows so short, `executemany` takes three times as long.

    Args:
        connection: the connection to write with.
        posts: the id of the post of each row, (R,) int64.
        tags: the id of the tag of each row, (R,) int64.
    """
    pairs = np.column_stack([posts, tags])
    whole = len(pairs) - len(pairs) % _PAIRS
    connection.executemany(_insert_pairs(_PAIRS), pairs[:whole].reshape(-1, 2 * _PAIRS).tolist())
    if whole < len(pairs):
        connection.execute(_insert_pairs(len(pairs) - whole), pairs[whole:].ravel().tolist())


def _insert_pairs(rows: int) -> str:
    return f"INSERT INTO posttagrelation (post_id, tag_id) VALUES {', '.join(['(?, ?)'] * rows)}"


@contextmanager
def ticking(connection: sqlite3.Connection, doing: str) -> Iterator[None]:
    """Run long statements in a `with` block: with a progress bar, a cache size for fast sorting, and Ctrl-C."""
    cache_size = connection.execute("PRAGMA cache_size").fetchone()[0]
    connection.execute(f"PRAGMA cache_size = -{_SORTING_CACHE_KIB}")
    with progress(desc=doing, unit=" million steps") as bar:

        def tick() -> int:
            bar.update()
            return 0  # SQLite ends the statement for any other value, and `update` returns True where it has written

        connection.set_progress_handler(tick, _STEPS_A_TICK)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)
            connection.execute(f"PRAGMA cache_size = {cache_size}")


def count_popularity(connection: sqlite3.Connection) -> None:
    """Set the popularity of every tag to the number of its posts. Tags that are right already are not written."""
    connection.execute("CREATE TEMP TABLE popularity (tag_id INTEGER PRIMARY KEY, posts INTEGER NOT NULL)")
    connection.execute("INSERT INTO popularity SELECT tag_id, COUNT(*) FROM posttagrelation GROUP BY tag_id")
    posts = "ifnull((SELECT posts FROM popularity WHERE tag_id = tag.id), 0)"
    connection.execute(f"UPDATE tag SET popularity = {posts} WHERE popularity <> {posts}")
    connection.execute("DROP TABLE popularity")
