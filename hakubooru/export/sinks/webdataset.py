"""The sink `webdataset`: shards for the `webdataset` library, tars in which a caption follows each image."""

from __future__ import annotations

import os
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.export.pairs import STATE
from hakubooru.export.shards import SHARDS, SPOOL, ShardFile, cut, file_of, finish_moves
from hakubooru.export.sink import Sink, Writer
from hakubooru.export.sinks.folder import empty_part
from hakubooru.image.tar import BLOCK

if TYPE_CHECKING:
    from hakubooru.export.journal import Journal
    from hakubooru.export.pairs import Pair


class WebDatasetSink(Sink):
    """Writes shards, `OUT/shards/00000.tar`; a shard may hold images from several archives.

    Workers write the pairs of each archive to a file below `OUT/.hakubooru/spool`. When all pairs are there, `cut` of
    `hakubooru.export.shards` moves them into shards. A pair's path is `SHARD/MEMBER`; in the spool it is
    `FILE/OFFSET/MEMBER`, where OFFSET is the image's first byte in the file.
    """

    name = "webdataset"
    summary = "shards"
    has_shards = True
    keeps_images = True

    def writer(self) -> Writer:
        """Return a writer into a new file of the spool."""
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

    def recover(self, journal: Journal) -> None:
        """Finish the renames of shards that a killed run had recorded."""
        finish_moves(Path(self.out), journal)

    def arrange(self, journal: Journal) -> list[int]:
        """Move all pairs into shards; return the pairs whose image is lost."""
        return cut(Path(self.out), journal, self)

    def is_durable(self, pair: Pair) -> bool:
        """Return whether a pair lies in a shard, not in the spool: shards reach the disk before they are recorded."""
        return not pair.path.startswith(SPOOL)


class _SpoolWriter(Writer):
    def __init__(self, out: str) -> None:
        self.name = f"{uuid.uuid4().hex}.tar"
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


@cache
def _is_whole(file: str) -> bool:
    """Return whether a file ends with an end mark; after a power cut it may be empty, or cut at a block of the disk."""
    path = Path(file)
    if not path.is_file() or path.stat().st_size < 2 * BLOCK:
        return False
    with path.open("rb") as data:
        data.seek(-2 * BLOCK, 2)
        return data.read() == bytes(2 * BLOCK)
