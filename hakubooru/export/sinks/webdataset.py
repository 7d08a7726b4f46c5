"""The sink `webdataset`: shards for the `webdataset` library, tars in which a caption follows each image."""

from __future__ import annotations

import os
import re
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hakubooru.export.sinks.base import STATE, Sink, Writer
from hakubooru.export.sinks.folder import empty_part
from hakubooru.image.tar import BLOCK, file_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair

SHARDS: Final = "shards"
"""Folder of the shards in an export."""
SPOOL: Final = f"{STATE}/spool"
"""Folder of files that hold pairs until they move into shards."""
SHARD: Final = re.compile(rf"{SHARDS}/(?:\d{{5,}}|[\w-]*-[0-9a-f]{{8}}-\d{{3,}})\.tar", re.ASCII)
"""Matches the paths of shards; the second form is that of earlier versions."""
SHARD_IMAGES: Final = 10_000
SHARD_BYTES: Final = 10**9
_BUFFER: Final = 2**20
_TAR: Final = ".tar"


class WebDatasetSink(Sink):
    """Writes shards, `OUT/shards/00000.tar`; a shard may hold images from several archives.

    Workers write the pairs of each archive to a file below `OUT/.hakubooru/spool`. When all pairs are there, `cut` of
    `hakubooru.export.shards` moves them into shards. A pair's path is `SHARD/MEMBER`; in the spool it is
    `FILE/OFFSET/MEMBER`, where OFFSET is the image's first byte in the file.
    """

    name = "webdataset"
    has_shards = True
    keeps_images = True

    def __init__(self, out: str, images: int = SHARD_IMAGES, bytes: int = SHARD_BYTES) -> None:
        self.out = out
        self.images = images
        self.bytes = bytes

    def writer(self, archive: str) -> Writer:
        """Return a writer into a new file of the spool."""
        del archive
        return _SpoolWriter(self.out)

    def holds(self, pair: Pair) -> bool:
        """Return whether the file that a pair lies in is there and ends with an end mark."""
        return _is_whole(f"{self.out}/{file_of(pair.path)}")

    def clean(self) -> None:
        """Empty the folder of unfinished files, and create the folders of shards and spool."""
        _is_whole.cache_clear()
        empty_part(self.out)
        Path(self.out, SHARDS).mkdir(exist_ok=True)
        Path(self.out, SPOOL).mkdir(exist_ok=True)

    def remove(self, pair: Pair) -> None:
        """Do nothing: `cut` writes a shard again if it holds more than its pairs."""

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write nothing: shards need no list."""


class ShardFile:
    """Writes pairs to a tar, one after the other; used in a `with` statement."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_BUFFER)

    def add(self, member: str, image: bytes, caption: bytes) -> int:
        """Write a pair; return the offset of the image's first byte."""
        at = self._write(member, image)
        self._write(f"{member.rpartition('.')[0]}.txt", caption)
        return at

    def end(self, *, is_durable: bool) -> None:
        """Write the end mark; with `is_durable`, wait until the file has reached the disk."""
        self._file.write(bytes(2 * BLOCK))
        self._file.flush()
        if is_durable:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def _write(self, name: str, data: bytes) -> int:
        self._file.write(file_header(name, len(data)))
        at = self._file.tell()
        self._file.write(data)
        self._file.write(bytes(-len(data) % BLOCK))
        return at


class _SpoolWriter(Writer):
    def __init__(self, out: str) -> None:
        self.name = f"{uuid.uuid4().hex}{_TAR}"
        self.part = Path(out, STATE, "part", self.name)
        self.path = Path(out, SPOOL, self.name)
        self.file = ShardFile(self.part)
        self.waiting: dict[int, tuple[str, bytes]] = {}
        self.is_empty = True

    def image(self, number: int, path: str, data: bytes) -> None:
        self.waiting[number] = path.rpartition("/")[2], data

    def caption(self, number: int, text: str) -> str:
        member, data = self.waiting.pop(number)
        at = self.file.add(member, data, text.encode())
        self.is_empty = False
        return f"{SPOOL}/{self.name}/{at}/{member}"

    def __exit__(self, *exc: object) -> None:
        with self.file:
            if exc[0] is None:
                self.file.end(is_durable=False)
        if exc[0] is None and not self.is_empty:
            os.replace(self.part, self.path)  # noqa: PTH105 - Path.replace reads as a change of text
        else:
            self.part.unlink()


def shard_name(number: int) -> str:
    """Return the path of a shard by its number."""
    return f"{SHARDS}/{number:05d}{_TAR}"


def file_of(path: str) -> str:
    """Return the file that a pair lies in, a shard or a file of the spool, by the pair's path."""
    return path[: path.index(f"{_TAR}/") + len(_TAR)]


@cache
def _is_whole(file: str) -> bool:
    """Return whether a file ends with an end mark; after a power cut it may be empty, or cut at a block of the disk."""
    path = Path(file)
    if not path.is_file() or path.stat().st_size < 2 * BLOCK:
        return False
    with path.open("rb") as data:
        data.seek(-2 * BLOCK, 2)
        return data.read() == bytes(2 * BLOCK)
