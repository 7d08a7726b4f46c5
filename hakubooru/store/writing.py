"""Writing much: exclusive access, transactions, many rows a statement, and statements that take minutes."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from hakubooru.progress import progress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

_VARIABLES: Final = 800  # of 999 that every SQLite takes
_CACHE_KIB: Final = 65536
# SQLite sorts a cache full of rows at a time. 3.5 million of them took three times the processor's time with 64 MiB as
# with 2, its own default: such lists no longer fit into the processor's cache.
_SORTING_CACHE_KIB: Final = 2000
_STEPS_A_TICK: Final = 1_000_000


def hold(connection: sqlite3.Connection) -> None:
    """Keep all other processes from the file until the connection is closed.

    Raises:
        sqlite3.OperationalError: another process is at work on it, and was for the time-out of the connection.
    """
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    with transaction(connection, "EXCLUSIVE"):
        pass


@contextmanager
def transaction(connection: sqlite3.Connection, lock: str = "IMMEDIATE") -> Iterator[None]:
    """All of it, or nothing."""
    connection.execute(f"BEGIN {lock}")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def insert_many(connection: sqlite3.Connection, statement: str, width: int, values: Iterable[Any]) -> None:
    """Insert rows, many a statement: for short rows three times as fast as `executemany`.

    Args:
        connection: where to.
        statement: up to and with the word VALUES.
        width: columns a row.
        values: the columns of all rows, one after another.
    """
    row = f"({', '.join('?' * width)})"
    rest = iter(values)
    while some := list(islice(rest, _VARIABLES // width * width)):
        connection.execute(f"{statement} {', '.join([row] * (len(some) // width))}", some)


def query_by_name(connection: sqlite3.Connection, statement: str, names: Sequence[str]) -> Iterator[Any]:
    """The rows that a statement ending in IN gives for names, of which there may be any number."""
    for start in range(0, len(names), _VARIABLES):
        some = names[start : start + _VARIABLES]
        yield from connection.execute(f"{statement} ({', '.join('?' * len(some))})", some)


@contextmanager
def ticking(connection: sqlite3.Connection, doing: str) -> Iterator[None]:
    """Show that long statements are at work, let Ctrl-C interrupt them, and give them what makes sorting fast."""
    cache_size = connection.execute("PRAGMA cache_size").fetchone()[0]
    connection.execute(f"PRAGMA cache_size = -{_SORTING_CACHE_KIB}")
    with progress(desc=doing, unit=" million steps") as bar:
        connection.set_progress_handler(lambda: bool(bar.update()), _STEPS_A_TICK)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)
            connection.execute(f"PRAGMA cache_size = {cache_size}")


def count_popularity(connection: sqlite3.Connection) -> None:
    """Set every tag's popularity to the number of its posts; those that have it already are not written."""
    connection.execute("CREATE TEMP TABLE popularity (tag_id INTEGER PRIMARY KEY, posts INTEGER NOT NULL)")
    connection.execute("INSERT INTO popularity SELECT tag_id, COUNT(*) FROM posttagrelation GROUP BY tag_id")
    posts = "ifnull((SELECT posts FROM popularity WHERE tag_id = tag.id), 0)"
    connection.execute(f"UPDATE tag SET popularity = {posts} WHERE popularity <> {posts}")
    connection.execute("DROP TABLE popularity")
