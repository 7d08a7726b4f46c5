"""Thumbnails and large views of images: made by a few processes, kept in one file of the user's cache.

Thumbnails are WebP. The cache is bounded: when it is full, the thumbnails that were made first are dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Final, Self, TypeVar

import platformdirs

from hakubooru.image.decode import DECODE_VERSION
from hakubooru.image.header import read_header
from hakubooru.image.shelf import NoImageError, Place
from hakubooru.image.thumbnail import THUMBNAIL, refusals, shrunk, thumbnail_of
from hakubooru.processes import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

VIEW: Final = 2048
"""The longest side of a large view, in pixels."""
_BLOCKS: Final = 4
"""How many blocks of 16 MiB Pillow keeps in each process (its "block allocator")."""
_ATTEMPTS: Final = 2
"""How often an image is read, if processes end meanwhile."""
_DROPPED: Final = 0.1
"""The part of a full cache that is dropped at a time."""
_AS_IT_IS: Final = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
}
"""The formats that every web browser shows, with their media types."""
_LARGEST_AS_IT_IS: Final = 16 * 2**20
"""The most bytes of a file that is sent to the web browser unchanged."""
_LARGEST_SHOWN: Final = 40_000_000
"""The most pixels of a file that is sent to the web browser unchanged."""


@dataclass(frozen=True)
class Picture:
    """An encoded picture for a web browser."""

    data: bytes
    media_type: str


class Thumbnails:
    """Makes thumbnails and large views; any thread may use it. Close it with `close`, or use it in a `with` statement."""

    def __init__(self, *, workers: int | None = None, cache: Path | None = None) -> None:
        """Start the processes, which takes them a second; this call returns at once.

        Args:
            workers: how many processes make thumbnails; by default one for each core, at most four.
            cache: the cache's file; by default, one in the user's cache.
        """
        self._count = workers or min(4, os.cpu_count() or 1)
        self._cache = _Cache(cache or platformdirs.user_cache_path("hakubooru") / "thumbnails.sqlite")
        self._lock = Lock()
        self._workers = self._started()
        # What waits in the pool is made even if nobody wants it any more, so little waits there.
        self._turns = Semaphore(2 * self._count)

    def thumbnail(self, place: Place) -> Picture:
        """The thumbnail of an image, from the cache if it is there.

        Raises:
            NoImageError: the image cannot be read or decoded.
        """
        key = _key(place)
        data = self._cache.get(key)
        if data is None:
            data = self._made(thumbnail_of, place)
            self._cache.put(key, data)
        return Picture(data, "image/webp")

    def view(self, place: Place) -> Picture:
        """An image as it is if it is of a moderate size and of a kind that web browsers show; else, a smaller one.

        Raises:
            NoImageError: the image cannot be read or decoded.
        """
        return self._made(view_of, place)

    def _made(self, make: Callable[[Place], _T], place: Place) -> _T:
        with self._turns:
            for _ in range(_ATTEMPTS):
                workers = self._workers
                try:
                    return workers.submit(make, place).result()
                except BrokenProcessPool:
                    # This image, or another one at the same time, ended a process: perhaps it took all memory.
                    with self._lock:
                        if self._workers is workers:
                            self._workers = self._started()
        raise NoImageError("reading it ended the process")

    def _started(self) -> Workers:
        workers = Workers(self._count, _prepare)
        workers.submit(_prepare)
        return workers

    def close(self) -> None:
        """End the processes and close the cache."""
        self._workers.end()
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def view_of(place: Place) -> Picture:
    """Read an image for a large view; see `Thumbnails.view`.

    Raises:
        NoImageError: the image cannot be read or decoded.
    """
    data = place.read()
    with refusals():
        header = read_header(data)
        is_moderate = len(data) <= _LARGEST_AS_IT_IS and header.width * header.height <= _LARGEST_SHOWN
        if header.extension in _AS_IT_IS and is_moderate:
            return Picture(data, _AS_IT_IS[header.extension])
        return Picture(shrunk(data, header, VIEW), "image/webp")


def _prepare() -> None:
    """Import in a worker what the first thumbnail needs."""
    from PIL import Image  # noqa: PLC0415 - the server itself needs no Pillow

    Image.init()
    # The memory of one image is kept for the next: to get it anew takes a fifth of the time of decoding.
    Image.core.set_blocks_max(_BLOCKS)  # type: ignore[attr-defined] # as PILLOW_BLOCKS_MAX does, for these processes alone


def _key(place: Place) -> bytes:
    return hashlib.sha256(
        f"{DECODE_VERSION} {THUMBNAIL}\n{place.key}".encode(errors="surrogateescape")
    ).digest()


class _Cache:
    """A bounded table of bytes in an SQLite file, or in memory if the file cannot be used; a damaged file is made anew."""

    def __init__(self, path: Path, *, largest: int = 2**30) -> None:
        self._path = path
        self._largest = largest  # bytes
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection, self._bytes = _opened(str(path))
        except (OSError, sqlite3.OperationalError):
            self._connection, self._bytes = _opened(":memory:")
        except sqlite3.DatabaseError:
            self._begin_anew()

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            try:
                row = self._connection.execute("SELECT data FROM picture WHERE key = ?", [key]).fetchone()
            except sqlite3.OperationalError:  # another process has locked it
                row = None
            except sqlite3.DatabaseError:
                self._connection.close()
                self._begin_anew()
                row = None
        return None if row is None else bytes(row[0])

    def put(self, key: bytes, data: bytes) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):  # a full disk only makes the cache useless
            self._connection.execute("INSERT OR REPLACE INTO picture VALUES (?, ?)", [key, data])
            self._bytes += len(data)
            if self._bytes > self._largest:
                self._drop()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _begin_anew(self) -> None:
        """Remove the damaged file, and begin an empty one."""
        try:
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._connection, self._bytes = _opened(str(self._path))
        except (OSError, sqlite3.Error):
            self._connection, self._bytes = _opened(":memory:")

    def _drop(self) -> None:
        """Drop the pictures that were put in first."""
        sql = "DELETE FROM picture WHERE rowid <= (SELECT MIN(rowid) + (MAX(rowid) - MIN(rowid)) * ? FROM picture)"
        self._connection.execute(sql, [_DROPPED])
        self._bytes = _bytes_in(self._connection)


def _opened(path: str) -> tuple[sqlite3.Connection, int]:
    """Open or create a file of pictures; return it with the bytes of its pictures."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1)
    try:
        # The cache may be lost, so nothing waits for the disk.
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS picture (key BLOB NOT NULL UNIQUE, data BLOB NOT NULL)"
        )
        return connection, _bytes_in(connection)
    except sqlite3.Error:
        connection.close()
        raise


def _bytes_in(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute("SELECT ifnull(SUM(length(data)), 0) FROM picture").fetchone()
    return int(size)
