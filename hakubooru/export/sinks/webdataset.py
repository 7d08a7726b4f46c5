"""The sink `webdataset`: shards for the `webdataset` library, tars in which a caption follows each image."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hakubooru.export.shards import SHARDS, SPOOL, ShardFile, cut, file_of, finish_moves
from hakubooru.export.sinks import Sink, Writer
from hakubooru.export.sinks.folder import empty_part
from hakubooru.image.tar import BLOCK

if TYPE_CHECKING:
    from hakubooru.export.journal import Journal
    from hakubooru.export.pairs import Pair


class WebDatasetSink(Sink):
    """Writes shards, `OUT/shards/00000.tar`; a shard may hold images from several archives.

    Each process writes pairs to files below `OUT/.hakubooru/spool`, as many to each as a shard may have. When all pairs
    are there, `cut` of `hakubooru.export.shards` moves them into shards. A pair's path is `SHARD/MEMBER`; in the spool
    it is `FILE/OFFSET/MEMBER`, where OFFSET is the image's first byte in the file.
    """

    name = "webdataset"
    summary = "shards"
    has_shards = True
    keeps_images = True

    def __init__(self, out: str, **options: int) -> None:
        super().__init__(out, **options)
        self.spool = _Spool()

    def __getstate__(self) -> dict[str, Any]:
        # Every process has files of its own.
        return self.__dict__ | {"spool": _Spool()}

    def writer(self) -> Writer:
        """Return a writer that goes on with this process's file of the spool."""
        return _SpoolWriter(self)

    def holds(self, pair: Pair) -> bool:
        """Return whether the file that a pair lies in is there: a whole shard, or as much of the spool as the pair needs."""
        name = file_of(pair.path)
        size = _size_of(f"{self.out}/{name}", has_end=not name.startswith(SPOOL))
        if not name.startswith(SPOOL):
            return size > 0
        at = int(pair.path[len(name) + 1 :].partition("/")[0])
        return size >= at + pair.bytes

    def clean(self) -> None:
        """Empty the folder of unfinished files, and create the folders of shards and spool."""
        _size_of.cache_clear()
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


class _Spool:
    """The file of the spool that a process is writing."""

    def __init__(self) -> None:
        self.name = ""
        """The file's path below the export's folder; "" if the next pair begins a file."""
        self.size = 0
        """Bytes of the file."""
        self.images = 0
        """How many images the file has."""
        self.bytes = 0
        """Bytes of these images."""


class _SpoolWriter(Writer):
    """Appends the pairs of one archive to a file of the spool, and begins another when a shard is full.

    After an error, nothing of the archive stays.
    """

    def __init__(self, sink: WebDatasetSink) -> None:
        self.sink = sink
        self.before = vars(sink.spool).copy()
        self.files = ExitStack()
        self.begun: list[str] = []
        """The files that this archive began."""
        self.file: ShardFile | None = None
        self.waiting: dict[int, tuple[str, bytes]] = {}

    def image(self, number: int, path: str, data: bytes) -> None:
        self.waiting[number] = path.rpartition("/")[2], data

    def caption(self, number: int, text: str) -> str:
        member, data = self.waiting.pop(number)
        file = self.file or self._open()
        spool = self.sink.spool
        at = file.add(member, data, text.encode())
        path = f"{spool.name}/{at}/{member}"
        spool.size = file.size
        spool.images += 1
        spool.bytes += len(data)
        if spool.images >= self.sink.shard_images or spool.bytes >= self.sink.shard_bytes:
            self._close()
            self.sink.spool = _Spool()
        return path

    def _open(self) -> ShardFile:
        spool = self.sink.spool
        path = Path(self.sink.out, spool.name)
        if spool.name and not (path.is_file() and path.stat().st_size == spool.size):
            spool = self.sink.spool = _Spool()  # a cut has moved the pairs of the file
        if not spool.name:
            spool.name = f"{SPOOL}/{uuid.uuid4().hex}.tar"
            self.begun.append(spool.name)
        self.file = self.files.enter_context(ShardFile(Path(self.sink.out, spool.name), spool.size))
        return self.file

    def _close(self) -> None:
        self.files.close()
        self.file = None

    def __exit__(self, *exc: object) -> None:
        self._close()
        if exc[0] is None:
            return
        for name in self.begun:
            Path(self.sink.out, name).unlink()
        vars(self.sink.spool).update(self.before)
        if name := self.before["name"]:
            with ShardFile(Path(self.sink.out, name), self.before["size"]) as file:
                file.cut_off(self.before["size"])


@cache
def _size_of(file: str, *, has_end: bool) -> int:
    """Return the bytes of a file; 0 if it is not there, or should have an end mark and has none, as after a power cut."""
    path = Path(file)
    size = path.stat().st_size if path.is_file() else 0
    if not has_end or size < 2 * BLOCK:
        return size if not has_end else 0
    with path.open("rb") as data:
        data.seek(-2 * BLOCK, 2)
        return size if data.read() == bytes(2 * BLOCK) else 0
