"""Shards of the `webdataset` library: tars in which an image is followed by its caption."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.export.sinks.base import STATE, Sink, Writer
from hakubooru.export.sinks.folder import empty_part
from hakubooru.image.tar import BLOCK, file_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hakubooru.export.records import Pair

SHARDS: Final = "shards"
"""Folder of the shards in an export."""
SHARD: Final = re.compile(rf"{SHARDS}/[\w-]*-[0-9a-f]{{8}}-\d{{3,}}\.tar", re.ASCII)
"""Their paths."""
SHARD_IMAGES: Final = 10_000
SHARD_BYTES: Final = 10**9
_BUFFER: Final = 2**20


class WebDatasetSink(Sink):
    """Shards, each with images of one archive: `OUT/shards/data-0012-3f9c21ab-000.tar`.

    A shard is named by its archive, so that any number of workers gives the same ones. It ends with the image by
    which it reaches a number of images or bytes. A pair's path in the manifest is its shard's and its member's.
    """

    name = "webdataset"
    holds_archives = True
    keeps_images = True

    def __init__(self, out: str, images: int = SHARD_IMAGES, bytes: int = SHARD_BYTES) -> None:
        self.out = out
        self.images = images
        self.bytes = bytes

    def writer(self, archive: str) -> Writer:
        """Write the shards of an archive."""
        stem = re.sub(r"[^A-Za-z0-9_-]", "-", archive.rpartition("/")[2].partition(".")[0])
        name = f"{stem}-{hashlib.sha256(archive.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
        return _ShardWriter(self, name)

    def holds(self, pair: Pair) -> bool:
        """Whether the pair's shard is there."""
        return _is_there(f"{self.out}/{pair.path.rpartition('/')[0]}")

    def clean(self) -> None:
        """Empty the folder of shards being written."""
        _is_there.cache_clear()
        empty_part(self.out)
        Path(self.out, SHARDS).mkdir(exist_ok=True)

    def remove(self, pair: Pair) -> None:
        """Remove the shard."""
        Path(self.out, pair.path).parent.unlink(missing_ok=True)

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Pairs speak for themselves."""


@cache
def _is_there(shard: str) -> bool:
    """A shard takes its name when it is whole; after a power cut it can be empty, or cut at a block of the disk."""
    path = Path(shard)
    if not path.is_file() or path.stat().st_size < 2 * BLOCK:
        return False
    with path.open("rb") as file:
        file.seek(-2 * BLOCK, 2)
        return file.read() == bytes(2 * BLOCK)


class _ShardWriter(Writer):
    def __init__(self, sink: WebDatasetSink, name: str) -> None:
        self.sink = sink
        self.name = name
        self.part = Path(sink.out, STATE, "part", uuid.uuid4().hex)
        self.part.mkdir()
        self.file: BinaryIO | None = None
        self.path = ""
        self.waiting: dict[int, tuple[str, bytes]] = {}
        self.shard = self.images = self.bytes = 0

    def image(self, number: int, path: str, data: bytes) -> str:
        if self.images >= self.sink.images or self.bytes >= self.sink.bytes:
            self.shard, self.images, self.bytes = self.shard + 1, 0, 0
        self.images += 1
        self.bytes += len(data)
        member = f"{SHARDS}/{self.name}-{self.shard:03d}.tar/{path.rpartition('/')[2]}"
        self.waiting[number] = member, data
        return member

    def caption(self, number: int, text: str) -> None:
        path, data = self.waiting.pop(number)
        self._open(path.rpartition("/")[0])
        member = path.rpartition("/")[2]
        self._write(member, data)
        self._write(f"{member.rpartition('.')[0]}.txt", text.encode())

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            if self.file is not None:
                self.file.close()
            shutil.rmtree(self.part, ignore_errors=True)
            return
        self._close()
        for part in self.part.iterdir():
            os.replace(part, Path(self.sink.out, SHARDS, part.name))  # noqa: PTH105 - Path.replace, said as what it is
        self.part.rmdir()
        # An archive that once gave more: its later shards are none of it any more.
        for path in Path(self.sink.out, SHARDS).glob(f"{self.name}-*.tar"):
            number = path.stem.removeprefix(f"{self.name}-")
            if number.isdecimal() and (int(number) > self.shard or not self.images):
                path.unlink()

    def _open(self, path: str) -> None:
        if path != self.path:
            self._close()
            self.path = path
            self.file = (self.part / path.rpartition("/")[2]).open("wb", buffering=_BUFFER)

    def _close(self) -> None:
        """Shards take their places when all of the archive are whole."""
        if self.file is not None:
            self.file.write(bytes(2 * BLOCK))
            self.file.close()
            self.file = None

    def _write(self, name: str, data: bytes) -> None:
        assert self.file is not None
        self.file.write(file_header(name, len(data)))
        self.file.write(data)
        self.file.write(bytes(-len(data) % BLOCK))
