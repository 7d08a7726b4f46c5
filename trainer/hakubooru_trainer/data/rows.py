"""Rows of a Parquet file, read a row group at a time, so that the texts of a data set are never all in memory."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hakubooru.arrays import integers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids

_GROUPS: Final = 8
"""Row groups that stay in memory: with the manifest's 4,000 rows each, about 20 MB."""


class Rows:
    """Rows of a file, which threads may share.

    Args:
        path: the file.
        columns: the columns that a row has.
        optional: more columns, for files that have them.

    Raises:
        pyarrow.ArrowInvalid: the file is not Parquet.
        KeyError: the file lacks one of `columns`.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._file = parquet.ParquetFile(path, pre_buffer=False)
        about = self._file.metadata
        names = self._file.schema_arrow.names
        for name in columns:
            if name not in names:
                raise KeyError(name)
        self.columns = [*columns, *(name for name in optional if name in names)]
        self._ends = np.cumsum([about.row_group(group).num_rows for group in range(about.num_row_groups)])
        self._lock = Lock()  # a Parquet file is read by one thread at a time
        self._kept = lru_cache(maxsize=_GROUPS)(lambda group: self._read(group, self.columns))

    def __getitem__(self, row: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._ends, row, "right"))
        place = row - self._start(group)
        table = self._kept(group)
        return {name: table[name][place].as_py() for name in self.columns}

    def groups(self, columns: Sequence[str], rows: Ids | None = None) -> Iterator[pa.Table]:
        """Columns of all rows, or of the given rows in ascending order, a row group at a time."""
        for group, end in enumerate(self._ends.tolist()):
            start = self._start(group)
            if rows is None:
                yield self._read(group, columns)
                continue
            some = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
            if len(some):
                table = self._read(group, columns)
                yield table if len(some) == len(table) else table.take(integers(some, pa.int64()))

    def _start(self, group: int) -> int:
        return int(self._ends[group - 1]) if group else 0

    def _read(self, group: int, columns: Sequence[str]) -> pa.Table:
        with self._lock:
            return self._file.read_row_group(group, columns=[*columns], use_threads=False).combine_chunks()
