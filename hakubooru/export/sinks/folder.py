"""The sink `folder`: pairs of files in subfolders."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.export.pairs import STATE, beside
from hakubooru.export.sinks import Sink, Writer

if TYPE_CHECKING:
    from hakubooru.export.pairs import Pair


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class FolderSink(Sink):
    """Writes pairs of files, `ID.webp` and `ID.txt`, into subfolders by id % 1000."""

    name = "folder"
    summary = "pairs of files"
    writes_captions = True

    def writer(self) -> Writer:
        """Return a writer into the subfolders."""
        return _FolderWriter(self.out, writes_captions=self.writes_captions)

    def holds(self, pair: Pair) -> bool:
        """Return whether the files are there, and the image has its size; a caption may have been corrected."""
        path = f"{self.out}/{pair.path}"
        try:
            if os.stat(path).st_size != pair.bytes:  # noqa: PTH116 - Path costs more than the call
                return False
            return not self.writes_captions or stat.S_ISREG(os.stat(beside(path)).st_mode)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False

    def clean(self) -> None:
        """Empty the folder of unfinished files."""
        empty_part(self.out)

    def remove(self, pair: Pair) -> None:
        """Remove both files, and their subfolder when it is empty."""
        path = Path(self.out, pair.path)
        path.unlink(missing_ok=True)
        Path(beside(str(path))).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


_LISTS: Final = frozenset({".json", ".jsonl", ".parquet"})
"""The endings of the lists beside an export's images; any other file beside them is the user's."""


def empty_part(out: str) -> None:
    """Create or empty the folder of unfinished files, and remove unfinished lists: nobody may write into the export now."""
    for path in Path(out).glob(".*.part"):
        if Path(path.stem).suffix in _LISTS and path.is_file():
            path.unlink()
    folder = Path(out, STATE, "part")
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


class _FolderWriter(Writer):
    """Writes files into a hidden folder and moves them to their places, so that every file there is whole.

    In most sets each archive fills one folder of the export. Then its files are written into a folder that is moved as
    a whole, because moving a single file takes as long as writing it.
    """

    def __init__(self, out: str, *, writes_captions: bool) -> None:
        self.out = out
        self.writes_captions = writes_captions
        self.part = f"{out}/{STATE}/part/{uuid.uuid4().hex}"
        os.mkdir(self.part)  # noqa: PTH102 - Path costs more than the call
        self.whole = ""
        """The folder whose place `part` takes."""
        self.paths: dict[int, str] = {}
        self.folders: set[str] = set()

    def image(self, number: int, path: str, data: bytes) -> None:
        self._prepare(path.partition("/")[0])
        self._write(path, data)
        self.paths[number] = path

    def caption(self, number: int, text: str) -> str:
        path = self.paths.pop(number)
        if self.writes_captions:
            self._write(beside(path), text.encode())
        return path

    def _prepare(self, folder: str) -> None:
        if folder in self.folders:
            return
        if not self.folders and not os.path.exists(f"{self.out}/{folder}"):  # noqa: PTH110 - Path costs more than the call
            self.whole = folder
        else:
            os.makedirs(f"{self.out}/{folder}", exist_ok=True)  # noqa: PTH103 - Path costs more than the call
        self.folders.add(folder)

    def _write(self, path: str, data: bytes) -> None:
        folder, _, name = path.partition("/")
        is_whole = folder == self.whole
        part = f"{self.part}/{name}" if is_whole else f"{self.part}/.part"
        file = os.open(part, _NEW, 0o666)
        try:
            written = os.write(file, data)
            while written < len(data):
                written += os.write(file, memoryview(data)[written:])
        finally:
            os.close(file)
        if not is_whole:
            os.replace(part, f"{self.out}/{path}")  # noqa: PTH105 - Path costs more than the call

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            shutil.rmtree(self.part, ignore_errors=True)
        elif not self.whole:
            os.rmdir(self.part)  # noqa: PTH106 - Path costs more than the call
        else:
            self._place(f"{self.out}/{self.whole}")

    def _place(self, folder: str) -> None:
        try:
            os.rename(self.part, folder)  # noqa: PTH104 - Path costs more than the call
        except OSError:
            # Another archive has filled the folder in the meantime.
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - Path costs more than the call
            for name in os.listdir(self.part):  # noqa: PTH208 - Path costs more than the call
                os.replace(f"{self.part}/{name}", f"{folder}/{name}")  # noqa: PTH105 - Path costs more than the call
            os.rmdir(self.part)  # noqa: PTH106 - Path costs more than the call
