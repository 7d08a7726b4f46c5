"""Pairs of files in subfolders."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.export.sinks.base import STATE, Sink, Writer, beside, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair


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


def empty_part(out: str) -> None:
    """Make, or empty, the folder where files lie while they are written."""
    folder = Path(out, STATE, "part")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


class _FolderWriter(Writer):
    """Every file is written in one place and moved to its own, so that what has a name there is whole."""

    def __init__(self, out: str, *, writes_captions: bool) -> None:
        self.out = out
        self.writes_captions = writes_captions
        self.part = f"{out}/{STATE}/part/{uuid.uuid4().hex}"
        self.paths: dict[int, str] = {}
        self.folders: set[str] = set()

    def image(self, post_id: int, extension: str, data: bytes) -> str:
        path = place(post_id, extension)
        folder = path.partition("/")[0]
        if folder not in self.folders:
            os.makedirs(f"{self.out}/{folder}", exist_ok=True)  # noqa: PTH103 - as above
            self.folders.add(folder)
        self._write(path, data)
        self.paths[post_id] = path
        return path

    def caption(self, post_id: int, text: str) -> None:
        path = self.paths.pop(post_id)
        if self.writes_captions:
            self._write(beside(path), text.encode())

    def _write(self, path: str, data: bytes) -> None:
        with open(self.part, "wb", buffering=0) as file:  # noqa: PTH123 - as above
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        os.replace(self.part, f"{self.out}/{path}")  # noqa: PTH105 - as above

    def __exit__(self, *exc: object) -> None:
        Path(self.part).unlink(missing_ok=True)
