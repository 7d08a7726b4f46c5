"""The records of a run: a line of JSON for each update, measurement and event, and TensorBoard's files."""

from __future__ import annotations

import json
import math
import mmap
import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


class Metrics:
    """Writes `metrics.jsonl`, and the same values for TensorBoard if it is installed; for use in a `with` statement.

    Args:
        folder: the run's folder. None, as on all ranks but the first, writes nothing.
        from_update: the update that the run resumes from; later lines of an earlier attempt are removed.
    """

    def __init__(self, folder: Path | None, *, from_update: int) -> None:
        self._file = self._board = None
        if folder is None:
            return
        path = folder / "metrics.jsonl"
        if path.exists():
            _cut(path, from_update)
        self._file = path.open("a", encoding="utf-8", newline="\n", buffering=1)
        self._board = _board(folder, from_update)

    def write(self, update: int, **values: Any) -> None:
        """Write a line. A number that is not finite becomes null, since JSON cannot write it."""
        if self._file is not None:
            finite = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in values.items()
            }
            self._file.write(json.dumps({"update": update, **finite}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, update)

    def sync(self) -> None:
        """Flush all lines to the disk, so that a state written afterwards never knows more than they do."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _cut(path: Path, last: int) -> None:
    """Remove the lines of updates after the one that a run resumes from; the run writes them again."""
    with path.open("rb+") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            keep = text.rfind(b"\n") + 1  # a line without its end was not written whole
            while keep:
                start = text.rfind(b"\n", 0, keep - 1) + 1
                if _update_of(text[start:keep]) <= last:
                    break
                keep = start
        file.truncate(keep)


def _update_of(line: bytes) -> float:
    """The update of a line; infinity for a damaged line, so that it is removed."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _board(folder: Path, from_update: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=from_update + 1)
