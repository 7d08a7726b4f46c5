"""SQLite's errors as errors of hakubooru: what happened to which file, and what to do."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Final, NoReturn

import peewee

from hakubooru.errors import BusyError, DatabaseFileError, IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SQLITE_ERRORS: Final = (sqlite3.Error, peewee.DatabaseError)
"""The errors that a statement raises, by Python's module or by peewee."""
_MEND: Final = "download or copy it again"
_NO_TRANSACTION: Final = "no transaction is active"


@contextmanager
def explained(path: Path, mend: str = _MEND) -> Iterator[None]:
    """Replace SQLite's errors inside a `with` statement by errors that name the file and say what to do.

    Args:
        path: the file.
        mend: what to do if it is damaged.

    Raises:
        BusyError: another process has locked the file.
        DatabaseFileError: the file is damaged, or cannot be written.
        IncompleteError: the disk is full.
        KeyboardInterrupt: a statement was interrupted.
    """
    try:
        yield
    except SQLITE_ERRORS as error:
        raise_explained(path, error, mend)


def raise_explained(path: Path, error: Exception, mend: str = _MEND) -> NoReturn:
    """Raise an error of SQLite again, as one that says what to do, where there is one; see `explained`."""
    better = explain(path, error, error, mend)
    if better is error:
        raise error
    raise better from error


def explain(path: Path, error: Exception, other: Exception, mend: str = _MEND) -> BaseException:
    """The error to raise in place of an error of SQLite; `other` if its message says nothing that is known here."""
    # A full disk ends the transaction, and then it cannot be rolled back: what went wrong is the error before.
    while _NO_TRANSACTION in str(error) and isinstance(error.__context__, SQLITE_ERRORS):
        error = error.__context__
    text = str(error)
    if "locked" in text:
        return BusyError(f"{path} is locked by {holder(path)}; wait until it ends, or stop it, and try again")
    if "malformed" in text or "not a database" in text:
        return DatabaseFileError(f"{path} is damaged ({text}); {mend}")
    if "decode to UTF-8" in text:
        _, _, where = text.partition("UTF-8 ")
        return DatabaseFileError(
            f"{path} contains text that is not UTF-8 ({where[:100]}); correct it, or build the file again"
        )
    if "readonly" in text:
        return DatabaseFileError(
            f"{path} cannot be written; change its permissions, or copy it to a writable folder"
        )
    if "disk is full" in text or "disk I/O" in text:
        return IncompleteError(
            f"{path} could not be written ({text}); all earlier changes are complete. Make room on its disk and on "
            f"the disk for temporary files, and run the same command again"
        )
    if text == "interrupted":
        return KeyboardInterrupt()
    return other


def holder(path: Path) -> str:
    """Describe the other processes that have a file open, by number and command; else "another process".

    The system may hide the processes of other users.
    """
    import psutil  # noqa: PLC0415 - needed only for this message

    locked = os.path.normcase(path.resolve())
    holders = []
    for process in psutil.process_iter():
        try:
            files = process.open_files() if process.pid != os.getpid() else []
            if any(os.path.normcase(file.path) == locked for file in files):
                holders.append(f"process {process.pid} ({shorten(' '.join(process.cmdline()), 200)})")
        except (psutil.Error, OSError):
            continue  # it has ended, or belongs to another user
    return " and ".join(holders) or "another process"
