"""Pairs of files in subfolders."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.export.sinks.base import STATE, Sink, Writer, beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class FolderSink(Sink):
    """Pairs of files, `ID.webp` and `ID.txt`, in subfolders by id % 1000."""

    name = "folder"
    writes_captions = True

    def __init__(self, out: str) -> None:
        self.out = out

    def writer(self, archive: str) -> Writer:
        """Write into the subfolders; the archive's name plays no part."""
        del archive
        return _FolderWriter(self.out, writes_captions=self.writes_captions)

    def holds(self, pair: Pair) -> bool:
        """Compare the sizes of the files with the record."""
        path = f"{self.out}/{pair.path}"
        try:
            if os.stat(path).st_size != pair.bytes:  # noqa: PTH116 - Path costs more than the call
                return False
            size = os.stat(beside(path)).st_size if self.writes_captions else 0  # noqa: PTH116
        except FileNotFoundError:
            return False
        return not self.writes_captions or size == len(pair.caption.encode())

    def clean(self) -> None:
        """Empty the folder of files being written."""
        empty_part(self.out)

    def remove(self, pair: Pair) -> None:
        """Remove both files, and their subfolder when it is empty."""
        path = Path(self.out, pair.path)
        path.unlink(missing_ok=True)
        Path(beside(str(path))).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Pairs speak for themselves."""


class CaptionsSink(FolderSink):
    """Captions without images, `ID.txt`, in subfolders by id % 1000."""

    name = "captions"
    needs_images = False
    writes_captions = False


def empty_part(out: str) -> None:
    """Make, or empty, the folder where files lie while they are written."""
    folder = Path(out, STATE, "part")
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


@cache
def _process() -> str:
    """A name for this process that no other has, on no other machine."""
    return uuid.uuid4().hex


class _FolderWriter(Writer):
    """Every file is written in one place and moved to its own, so that what has a name there is whole.

    Each process has a folder for it: two would wait for one another, were it the same one.
    """

    def __init__(self, out: str, *, writes_captions: bool) -> None:
        self.out = out
        self.writes_captions = writes_captions
        folder = Path(out, STATE, "part", _process())
        folder.mkdir(exist_ok=True)
        self.part = f"{folder}/{uuid.uuid4().hex}"
        self.paths: dict[int, str] = {}
        self.folders: set[str] = set()

    def image(self, number: int, path: str, data: bytes) -> str:
        folder = path.partition("/")[0]
        if folder not in self.folders:
            os.makedirs(f"{self.out}/{folder}", exist_ok=True)  # noqa: PTH103 - as above
            self.folders.add(folder)
        self._write(path, data)
        self.paths[number] = path
        return path

    def caption(self, number: int, text: str) -> None:
        path = self.paths.pop(number)
        if self.writes_captions:
            self._write(beside(path), text.encode())

    def _write(self, path: str, data: bytes) -> None:
        file = os.open(self.part, _NEW, 0o666)
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, memoryview(data)[written:])
        finally:
            os.close(file)
        os.replace(self.part, f"{self.out}/{path}")  # noqa: PTH105 - as above

    def __exit__(self, *exc: object) -> None:
        Path(self.part).unlink(missing_ok=True)
