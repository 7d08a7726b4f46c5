"""The files of a folder that may hold records. There may be millions, so they are walked each time, and not listed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS: Final = (
    *("json", "jsonl", "ndjson", "csv", "tsv", "parquet", "db", "sqlite", "sqlite3", "duckdb"),
    *("gz", "xz", "bz2", "zst", "br", "7z", "tar", "tgz"),
)
"""The endings of files of a folder that may hold records; a folder of a downloader has pictures beside them, and a
.zip there is an animation."""


@dataclass(frozen=True)
class Folder:
    """The files below a folder that may hold records, in the order of their names."""

    path: Path

    def __iter__(self) -> Iterator[Path]:
        yield from _files(str(self.path))

    def size(self) -> int:
        """The size of the files in bytes."""
        return sum(file.stat().st_size for file in self)


def _files(folder: str) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name + os.sep * entry.is_dir(follow_symlinks=False)
            for entry in entries
            if not entry.name.startswith(".") and (entry.is_dir(follow_symlinks=False) or _may_hold(entry))
        )
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - a million paths as objects take half a gigabyte
        if name.endswith(os.sep):
            yield from _files(path)
        else:
            yield Path(path)


def _may_hold(entry: os.DirEntry[str]) -> bool:
    name, _, ending = entry.name.rpartition(".")
    # gwern's files have a number for a name, such as 2017000000000000.
    return (ending.lower() in ENDINGS if name else ending.isdecimal()) and entry.is_file()
