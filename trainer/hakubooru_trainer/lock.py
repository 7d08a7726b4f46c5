"""A lock that allows one run in a folder. The system frees it when the process ends, however it ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DestinationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = ".lock"


@contextmanager
def locked(out: Path, option: str = "run.out") -> Iterator[None]:
    """Keep other runs out of a folder during the block.

    The lock is SQLite's on an empty database, as for an export: it works on every system, and a killed run leaves none behind.

    Args:
        out: the folder.
        option: the option that names it, for messages.

    Raises:
        DestinationError: another run is writing into the folder, or the folder cannot be written to.
    """
    path = out / NAME
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise DestinationError(
            f"{path} cannot be written to ({error}); set {option} to another folder"
        ) from error
    with closing(connection):
        try:
            connection.execute("PRAGMA journal_mode = OFF")  # the database stays empty
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise DestinationError(
                    f"another run is writing into {out}; wait for its end, or set {option} to another folder"
                ) from error
            raise DestinationError(
                f"{path} cannot be locked ({error}); set {option} to another folder"
            ) from error
        yield
