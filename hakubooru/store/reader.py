"""Read columns of a file as NumPy arrays, in constant memory: SQLite's rows come as batches of Arrow arrays.

The driver, `adbc-driver-sqlite`, has an SQLite of its own, and POSIX drops all locks of a process on a file when any part
of it unlocks or closes the file. So its connections lock nothing. A connection of Python's SQLite holds the lock while
batches are read, and no other process can write to the file in between. The driver's connections stay open as long as
the file, and new ones replace them when the file has changed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import numpy as np

from hakubooru.errors import DatabaseFileError
from hakubooru.store.column_types import NUMBERS
from hakubooru.store.layout import sqlite_uri
from hakubooru.store.sqlite_errors import SQLITE_ERRORS, explain, raise_explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from adbc_driver_manager import AdbcConnection, AdbcDatabase

    from hakubooru.arrays import Values

ROWS: Final = 65_536
"""How many rows a batch has, except for the last one."""

THREADS: Final = min(2, os.cpu_count() or 1)
"""How many statements run at the same time."""

_PAUSE: Final = 0.01
"""How many seconds pass until it is looked again whether a thread has ended."""

_log = logging.getLogger(__name__)


def _whole_numbers(column: pa.Array) -> Values:
    """View a column of whole numbers as a NumPy array."""
    if str(column.type) != "int64" or column.null_count:
        raise MixedTypesError
    return np.from_dlpack(column)


def _parameter(value: float | str | bytes | None) -> pa.Array:
    """Make an Arrow array of one value, (1,), from its bytes: `pyarrow.array` of a list imports pandas."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and a program may read nothing

    match value:
        case None:
            return pa.nulls(1)
        case str() | bytes():
            kind, data = (pa.binary(), value) if isinstance(value, bytes) else (pa.string(), value.encode())
            ends = pa.py_buffer(np.array([0, len(data)], np.int32))
            return pa.Array.from_buffers(kind, 1, [None, ends, pa.py_buffer(data)])
        case float():
            return pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([value]))])
        case _:
            return pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(np.array([value], np.int64))])


def _close(generator: Generator[Any]) -> None:
    """Close a generator; if a thread computes its next item, wait for that: Ctrl-C may come while a thread is started."""
    while True:
        try:
            generator.close()
        except ValueError:  # generator already executing
            time.sleep(_PAUSE)
        else:
            return


class MixedTypesError(Exception):
    """A column has values of several types, where one is needed."""


class Reader:
    """Reads columns of one file; any thread may use it. Each statement is logged at the level DEBUG."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        """Prepare to read a file; it is opened by the first statement.

        Args:
            path: the file.
            timeout: how many seconds to wait while another process has locked it.
        """
        self._path = path
        self._timeout = timeout
        self._file: AdbcDatabase | None = None
        self._state: tuple[int, int] | None = None
        self._uri = ""
        self._idle: list[AdbcConnection] = []
        self._opened: list[AdbcDatabase | AdbcConnection] = []
        self._running: WeakSet[Generator[pa.RecordBatch]] = WeakSet()
        self._guard = threading.Lock()
        self._notice_changes()

    def batches(
        self, sql: str, parameters: Sequence[Any] = (), *, rows: int = ROWS
    ) -> Generator[pa.RecordBatch]:
        """Run a statement and iterate over its rows.

        Args:
            sql: one SELECT statement.
            parameters: whole numbers, strings or bytes for its question marks.
            rows: how many rows a batch has.

        Raises:
            BusyError: another process has locked the file.
            DatabaseFileError: the file is damaged.
            MixedTypesError: a column has values of another type than in its first batch.
        """
        batches = self._batches(sql, parameters, rows)
        self._running.add(batches)
        return batches

    def _batches(self, sql: str, parameters: Sequence[Any], rows: int) -> Generator[pa.RecordBatch]:
        import pyarrow as pa  # noqa: PLC0415 - takes a while, and a program may read nothing
        from adbc_driver_manager import AdbcStatement, Error  # noqa: PLC0415

        _log.debug("%s %s", sql, parameters)
        try:
            with (
                self._locked(),
                self._connection() as connection,
                contextlib.closing(AdbcStatement(connection)) as run,  # closing can fail, too
            ):
                run.set_options(**{"adbc.sqlite.query.batch_rows": str(rows)})
                run.set_sql_query(sql)
                if parameters:
                    values = [_parameter(value) for value in parameters]
                    run.bind(pa.record_batch(values, [f"p{place}" for place in range(len(values))]))
                handle, _ = run.execute_query()
                with pa.RecordBatchReader.from_stream(handle) as stream:
                    yield from stream
        except (Error, OSError) as error:
            if "Type mismatch" in str(error):
                raise MixedTypesError(f"{self._path}: {error}") from error
            unknown = DatabaseFileError(f"{self._path} cannot be read: {error}")
            raise explain(self._path, error, unknown) from error

    def numbers(
        self, sql: str, parameters: Sequence[Any] = (), *, table: str = "post", rows: int = ROWS
    ) -> Iterator[tuple[Values, ...]]:
        """Run a statement whose columns are whole numbers: for each batch, its columns, (R,) int64 each, read-only.

        Args:
            sql: one SELECT statement.
            parameters: whole numbers, strings or bytes for its question marks.
            table: the table that the numbers come from, for the message of an error.
            rows: how many rows a batch has.

        Raises:
            BusyError: another process has locked the file.
            DatabaseFileError: the file is damaged, or a value is NULL or no whole number; the message names the column.
        """
        try:
            with contextlib.closing(self.batches(sql, parameters, rows=rows)) as batches:
                for batch in batches:
                    yield tuple(map(_whole_numbers, batch.columns))
        except MixedTypesError as error:
            raise self._odd_number(table) from error

    def column(self, sql: str, parameters: Sequence[Any] = (), *, table: str = "post") -> Values:
        """Run a statement with one column of whole numbers, (N,) int64; raises the errors of `numbers`."""
        (values,) = self.table(sql, parameters, columns=1, table=table)
        return values

    def table(
        self, sql: str, parameters: Sequence[Any] = (), *, columns: int, table: str = "post"
    ) -> tuple[Values, ...]:
        """Run a statement with `columns` columns of whole numbers, (N,) int64 each; raises the errors of `numbers`."""
        batches = list(self.numbers(sql, parameters, table=table))
        if not batches:
            return (np.empty(0, np.int64),) * columns
        return tuple(map(np.concatenate, zip(*batches, strict=True)))

    def in_parallel(self, iterators: Sequence[Iterator[Any]]) -> Iterator[Any]:
        """Merge iterators over batches, one item of each in turn; each computes one ahead in a thread of its own."""
        try:
            with ThreadPoolExecutor(len(iterators)) as pool:
                ahead = deque((one, pool.submit(next, one, None)) for one in iterators)
                while ahead:
                    one, future = ahead.popleft()
                    item = future.result()
                    if item is not None:
                        ahead.append((one, pool.submit(next, one, None)))
                        yield item
        finally:
            for one in iterators:  # if one of them failed, the others still hold a statement
                if isinstance(one, Generator):
                    _close(one)

    def close(self) -> None:
        """End the statements, and close the connections. Call it when nothing else in the process writes to the file."""
        for batches in [*self._running]:  # Ctrl-C may have come while a batch was being worked on
            _close(batches)
        with self._guard:
            for one in reversed(self._opened):
                one.close()
            self._opened, self._idle, self._file = [], [], None

    def _odd_number(self, table: str) -> DatabaseFileError:
        """The error for a table with a value that is no whole number, although its column is one of numbers."""
        with self._locked() as connection:
            for name, is_nullable in NUMBERS[table].items():
                kinds = "IN ('integer', 'null')" if is_nullable else "= 'integer'"
                is_whole = f"typeof({name}) {kinds}"
                if connection.execute(f"SELECT 1 FROM {table} WHERE NOT {is_whole} LIMIT 1").fetchone():
                    return DatabaseFileError(
                        f"{self._path}: {table}.{name} is not a whole number in some rows; find them with "
                        f"SELECT id, {name} FROM {table} WHERE NOT {is_whole}, and correct them"
                    )
        return DatabaseFileError(
            f"{self._path}: a value of {table} is not a whole number, or is missing; correct it"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """Hold SQLite's lock for reading inside a `with` statement."""
        self._notice_changes()
        try:
            lock = sqlite3.connect(
                self._uri, uri=True, timeout=self._timeout, check_same_thread=False, isolation_level=None
            )
            with contextlib.closing(lock):
                lock.execute("BEGIN")
                lock.execute("SELECT 1 FROM sqlite_master").fetchone()
                yield lock
        except SQLITE_ERRORS as error:
            raise_explained(self._path, error)

    def _notice_changes(self) -> None:
        """Forget the connections to an earlier state of the file; a change may have put it into another mode, too."""
        status = self._path.stat()
        state = status.st_mtime_ns, status.st_size
        with self._guard:
            if state != self._state:
                self._uri = sqlite_uri(self._path, writable=False)
                self._state, self._file, self._idle = state, None, []

    @contextlib.contextmanager
    def _connection(self) -> Iterator[AdbcConnection]:
        """A connection to the file as it is now, which nothing else uses meanwhile."""
        import adbc_driver_sqlite  # noqa: PLC0415 - takes a while, and a program may read nothing
        from adbc_driver_manager import AdbcConnection  # noqa: PLC0415

        self._notice_changes()  # it may have changed while this waited for the lock
        with self._guard:
            if self._file is None:
                address, _, _ = self._uri.partition("?")
                self._file = adbc_driver_sqlite.connect(f"{address}?mode=ro&immutable=1")
                self._opened.append(self._file)
            file = self._file
            connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = AdbcConnection(file)
                self._opened.append(connection)
        try:
            yield connection
        finally:
            with self._guard:
                if file is self._file:
                    self._idle.append(connection)
