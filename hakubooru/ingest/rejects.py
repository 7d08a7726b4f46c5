"""The file of records that a build refused."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from pathlib import Path

    from hakubooru.ingest.dumps import Found

_LONGEST_TEXT: Final = 100_000


class Rejects:
    """Writes refused records as JSON lines, in a `with` statement.

    Each line tells the dump, the place in it (`line`, `item` or `row`, from 1), the reason and the record. The
    file is written beside and renamed at the end; a build that refuses nothing removes the file of an earlier one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(path.name + ".part")
        self._file: IO[str] | None = None

    def add(self, dump: Path, found: Found, reason: str) -> None:
        """Write one record down."""
        if self._file is None:
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
        self.count += 1
        line = {"dump": str(dump), found.unit: found.number, "reason": reason, "record": _shown(found)}
        self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)


def _shown(found: Found) -> Any:
    if found.reason:
        return found.text[:_LONGEST_TEXT].decode("utf-8", "replace")
    try:
        return orjson.loads(orjson.dumps(found.value))  # dates of a Parquet file become text
    except TypeError:
        return repr(found.value)[:_LONGEST_TEXT]
