"""Reading of files, and of parts of archives."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

_OPEN: Final = 64
"""How many archives stay open: far fewer than a system allows, and each open one saves a thousand openings."""


class Files:
    """Reads whole files and parts of archives. The archives used last stay open; threads may share it."""

    def __init__(self, *, most_open: int = _OPEN) -> None:
        self._archive = lru_cache(maxsize=most_open)(_Archive)

    def read(self, path: str, offset: int = -1, size: int = 0) -> bytes:
        """Read a file, or a part of it if an offset is given.

        Args:
            path: the file.
            offset: where the part begins, in bytes; below 0 the whole file is read.
            size: the bytes of the part.

        Raises:
            OSError: the file cannot be read, or ends before the part does.
        """
        if offset < 0:
            return Path(path).read_bytes()
        data: bytes = self._archive(path).read(offset, size)
        if len(data) < size:
            raise OSError(f"it ends before byte {offset + size:,}")
        return data


class _Archive:
    """An open file, which closes itself when nothing refers to it any more."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - __del__ closes it
        self._lock = Lock()

    def read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has one position in a file, which all threads share
            self._file.seek(offset)
            return self._file.read(size)

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # else it could not be opened
            self._file.close()
