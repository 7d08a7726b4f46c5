"""Bytes of files, and of what lies in archives."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

_OPEN: Final = 64
"""Archives that stay open: far below what any system lets a process open, and worth a thousand reads each."""


class Files:
    """Reads whole files, and parts of archives, of which the last ones used stay open; threads may share it."""

    def __init__(self, *, most_open: int = _OPEN) -> None:
        self._archive = lru_cache(maxsize=most_open)(_Archive)

    def read(self, path: str, offset: int = -1, size: int = 0) -> bytes:
        """A file, or where an offset is given, that part of it.

        Raises:
            OSError: it cannot be read, or ends before.
        """
        if offset < 0:
            return Path(path).read_bytes()
        data: bytes = self._archive(path).read(offset, size)
        if len(data) < size:
            raise OSError(f"it ends before byte {offset + size:,}")
        return data


class _Archive:
    """An open file, closed when nobody reads it any more."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - by __del__
        self._lock = Lock()

    def read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has one place in a file that all threads read at
            self._file.seek(offset)
            return self._file.read(size)

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # it could be opened
            self._file.close()
