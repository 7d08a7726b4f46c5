"""Shards of the `webdataset` library: tars in which an image is followed by its caption."""

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
"""Folder of files that hold pairs until these are brought into shards."""
SHARD: Final = re.compile(rf"{SHARDS}/(?:\d{{5,}}|[\w-]*-[0-9a-f]{{8}}-\d{{3,}})\.tar", re.ASCII)
"""Paths of shards; the second form is that of earlier versions."""
SHARD_IMAGES: Final = 10_000
SHARD_BYTES: Final = 10**9
_BUFFER: Final = 2**20
_TAR: Final = ".tar"


class WebDatasetSink(Sink):
    """Shards `OUT/shards/00000.tar`, each with images of any number of archives.

    Workers leave the pairs of each archive in a file below `OUT/.hakubooru/spool`; `cut` of `hakubooru.export.shards`
    brings them into shards when all are there. A pair's path is its shard's and its member's; in the spool there is the
    image's first byte between them.
    """

    name = "webdataset"
    has_shards = True
    keeps_images = True

    def __init__(self, out: str, images: int = SHARD_IMAGES, bytes: int = SHARD_BYTES) -> None:
        self.out = out
        self.images = images
        self.bytes = bytes

    def writer(self, archive: str) -> Writer:
        """Write the pairs of an archive into a file of the spool."""
        del archive
        return _SpoolWriter(self.out)

    def holds(self, pair: Pair) -> bool:
        """Whether the file that the pair lies in is there, and has its end."""
        return _is_whole(f"{self.out}/{file_of(pair.path)}")

    def clean(self) -> None:
        """Empty the folder of files being written."""
        _is_whole.cache_clear()
        empty_part(self.out)
        Path(self.out, SHARDS).mkdir(exist_ok=True)
        Path(self.out, SPOOL).mkdir(exist_ok=True)

    def remove(self, pair: Pair) -> None:
        """Nothing: a shard that has more than its pairs is written anew by `cut`."""

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Pairs speak for themselves."""


class ShardFile:
    """A tar that pairs are written to, one after the other; used in a `with` statement."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_BUFFER)

    def add(self, member: str, image: bytes, caption: bytes) -> int:
        """Write a pair; gives where its image begins."""
        at = self._write(member, image)
        self._write(f"{member.rpartition('.')[0]}.txt", caption)
        return at

    def end(self, *, is_durable: bool) -> None:
        """Write the end mark; where it is to be durable, wait until all has reached the disk."""
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
            os.replace(self.part, self.path)  # noqa: PTH105 - Path.replace, said as what it is
        else:
            self.part.unlink()


def shard_name(number: int) -> str:
    """The path of a shard, by its number."""
    return f"{SHARDS}/{number:05d}{_TAR}"


def file_of(path: str) -> str:
    """The file that a pair lies in, a shard or one of the spool, by the pair's path."""
    return path[: path.index(f"{_TAR}/") + len(_TAR)]


@cache
def _is_whole(file: str) -> bool:
    """A file takes its name when it is whole; after a power cut it can be empty, or cut at a block of the disk."""
    path = Path(file)
    if not path.is_file() or path.stat().st_size < 2 * BLOCK:
        return False
    with path.open("rb") as data:
        data.seek(-2 * BLOCK, 2)
        return data.read() == bytes(2 * BLOCK)
