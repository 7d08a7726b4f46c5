"""The file of a journal: its tables, opening it for one process at a time, and reading the ids of all pairs."""

from __future__ import annotations

import os
import sqlite3
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import ascending
from hakubooru.errors import DestinationError
from hakubooru.store.sqlite_errors import explain

if TYPE_CHECKING:
    from hakubooru.arrays import Ids

_LAYOUT: Final = 2
"""Version of the tables below and of the files of an export."""
_IDS_A_READ: Final = 10_000_000
_PAGES_A_LOG: Final = 20_000
"""Pages of 4 KiB in the log before they are copied into the file, which waits for the disk."""

# `pair` has no primary key, so that the rows of an archive lie together. In the order of ids, each row of an archive by
# id % 1000 would touch a page of its own: four times the work, and the whole file would be written again and again.
_TABLES: Final = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archive (
    name TEXT PRIMARY KEY, stamp INTEGER NOT NULL, strays INTEGER NOT NULL, damage TEXT NOT NULL, boot TEXT NOT NULL,
    todo INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pair (
    id INTEGER NOT NULL, path TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, caption TEXT NOT NULL, parts TEXT NOT NULL, archive TEXT NOT NULL
);
CREATE UNIQUE INDEX pair_id ON pair (id);
CREATE INDEX pair_archive ON pair (archive);
CREATE TABLE twin (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, archive TEXT NOT NULL
);
CREATE TABLE broken (
    id INTEGER, archive TEXT, member TEXT, reason TEXT NOT NULL, status TEXT NOT NULL, PRIMARY KEY (id, archive, member)
) WITHOUT ROWID;
CREATE TABLE passed_over (archive TEXT, reason TEXT, count INTEGER NOT NULL, PRIMARY KEY (archive, reason)) WITHOUT ROWID;
CREATE TABLE passed_name (archive TEXT, reason TEXT, member TEXT, PRIMARY KEY (archive, reason, member)) WITHOUT ROWID;
"""


def open_record(path: Path, out: Path) -> sqlite3.Connection:
    """Open the journal of an export, or create one.

    Args:
        path: the journal's file.
        out: the export's folder, for messages.

    Raises:
        DestinationError: another export is writing into the folder, or the file is not a journal.
    """
    try:
        # A killed writer's last transaction is rolled back as the file is opened.
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise _explained(path, error) from error
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # With a log, an archive need not wait for the disk. A power cut can remove the last archives from the log,
        # which are then exported again, but it cannot damage the file.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_A_LOG}")
        connection.execute("BEGIN EXCLUSIVE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" not in str(error):
            raise _explained(path, error) from error
        raise DestinationError(
            f"another export is writing into {out}; wait for it to end, or choose another folder"
        ) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DestinationError(f"{path} is damaged ({error}); move {out} away and export again") from error
    if version not in (0, _LAYOUT):
        connection.close()
        raise DestinationError(
            f"{out} was written by another version of hakubooru (layout {version}; this version writes {_LAYOUT}); "
            "use that version, or choose another folder"
        )
    return connection


def _explained(path: Path, error: sqlite3.Error) -> BaseException:
    if not all(os.access(place, os.W_OK) for place in (path, path.parent)):
        return DestinationError(
            f"{path} cannot be written to; change its permissions, or export into another folder"
        )
    unknown = DestinationError(f"{path} cannot be opened ({error}); check that its folder can be written to")
    return explain(path, error, unknown)


def exported_ids(connection: sqlite3.Connection) -> Ids:
    """Read the ids of all pairs, ascending, (N,) int64.

    SQLite joins up to ten million ids into one text, which NumPy parses: several times faster than row by row.
    """
    statement = (
        "SELECT group_concat(id), MAX(id), COUNT(*) FROM "
        f"(SELECT id FROM pair WHERE id > ? ORDER BY id LIMIT {_IDS_A_READ})"
    )
    parts = [np.empty(0, np.int64)]
    last, count = -(2**63), _IDS_A_READ
    while count == _IDS_A_READ:
        text, last, count = connection.execute(statement, [last]).fetchone()
        # SQLite does not promise the order in which an aggregate reads its rows.
        parts += [ascending(np.fromstring(text, np.int64, sep=","))] if count else []
    return np.concatenate(parts)


@cache
def boot() -> str:
    """Return an identifier of this run of the machine, from power on to power off."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import psutil  # noqa: PLC0415 - only where there is no such file

        # Told wrongly, as clocks are, it costs no more than a comparison.
        return str(round(psutil.boot_time()))
