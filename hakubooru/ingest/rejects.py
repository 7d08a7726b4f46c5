"""The file of records that a build rejects."""

from __future__ import annotations

import contextlib
import json
from typing import IO, TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_TEXT: Final = 100_000


class Rejects:
    """A writer of rejected records as JSON lines, for a `with` statement.

    Each line has the dump, the place in it (`line`, `item`, `row` or `file`, from 1), the reason and the record. The file
    is written under another name and renamed at the end. If no record is rejected, the file of an earlier build is
    removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.first = ""
        """The first record that was rejected: its place and the reason."""
        self._part = path.with_name(path.name + ".part")
        self._file: IO[str] | None = None

    def add(self, dump: str, unit: str, number: int, reason: str, record: object) -> None:
        """Write one rejected record with its dump, place and reason; a record that is bytes is its text."""
        if self._file is None:
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
            self.first = f"{dump}, {unit} {number:,}: {reason}"
        self.count += 1
        line = {"dump": dump, unit: number, "reason": reason, "record": _shown(record)}
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
            self._part.replace(self.path)
        else:
            # On a disk that is read-only, an error here would hide the one that ended the block.
            with contextlib.suppress(*[OSError] if exc[0] else []):
                self._part.unlink(missing_ok=True)
                self.path.unlink(missing_ok=True)


def _shown(record: object) -> Any:
    if isinstance(record, bytes):
        return record[:_LONGEST_TEXT].decode("utf-8", "replace")
    try:
        return orjson.loads(orjson.dumps(record))  # dates of a Parquet file become text
    except TypeError:
        return repr(record)[:_LONGEST_TEXT]
