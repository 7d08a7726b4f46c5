"""SQLite's errors in words that help: what happened to which file, and what to do."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING

import peewee

from hakubooru.errors import BusyError, DatabaseFileError, IncompleteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as those of this package, where more can be said than SQLite does.

    Raises:
        BusyError: another process holds the file.
        DatabaseFileError: the file is damaged, or cannot be written.
        IncompleteError: there is no room on the disk.
        KeyboardInterrupt: a statement was interrupted.
    """
    try:
        yield
    except (sqlite3.Error, peewee.DatabaseError) as error:
        better = explain(path, error)
        if better is error:
            raise
        raise better from error


def explain(path: Path, error: Exception) -> BaseException:
    """The error to raise in place of SQLite's own; that one itself where there is nothing to add."""
    text = str(error)
    if "locked" in text:
        return BusyError(
            f"{path} is held by {holder(path)}; wait for it to finish, or stop it, and try again"
        )
    if "malformed" in text or "not a database" in text:
        return DatabaseFileError(f"{path} is damaged ({text}); download or copy it again")
    if "decode to UTF-8" in text:
        _, _, where = text.partition("UTF-8 ")
        return DatabaseFileError(
            f"{path} holds text that is not UTF-8 ({where[:100]}); correct it, or build the file anew"
        )
    if "readonly" in text:
        return DatabaseFileError(f"{path} cannot be written: allow it, or copy the file to where it can be")
    if "disk is full" in text or "disk I/O" in text:
        return IncompleteError(
            f"{path} could not be written ({text}); what was written before is whole. Make room on its disk, and on "
            f"the one for temporary files, and run the same command again"
        )
    if text == "interrupted":
        return KeyboardInterrupt()
    return error


def holder(path: Path) -> str:
    """The other processes that have a file open, by number and command; "another process" where none can be seen.

    Only what the system lets this user see is found: processes of other users may stay hidden.
    """
    import psutil  # noqa: PLC0415 - needed only where someone has to wait

    wanted = os.path.normcase(path.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            files = process.open_files() if process.pid != os.getpid() else []
            if any(os.path.normcase(file.path) == wanted for file in files):
                found.append(f"process {process.pid} ({shorten(' '.join(process.cmdline()), 200)})")
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or belongs to someone else
    return " and ".join(found) or "another process"
