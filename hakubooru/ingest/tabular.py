"""Read tables in batches of rows: Parquet, DuckDB, SQLite and CSV."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing, contextmanager
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, Final

from hakubooru.errors import DumpError
from hakubooru.ingest.batches import RECORDS, Rows, rows_of
from hakubooru.ingest.extras import library
from hakubooru.store.layout import sqlite_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Choose = Callable[[set[str]], Sequence[str]]
    """A function that takes the names of all columns and returns those that are to be read."""

DELIMITERS: Final = (",", "\t", ";")
_LONGEST_FIELD: Final = 2**22
_PAGES: Final = 2**20  # read so many bytes of a column at a time, not its whole row group


def read_parquet(path: Path, name: str, choose: Choose) -> Iterator[tuple[Rows, float]]:
    """Iterate over the rows of a Parquet file, each batch with the share of the file that was read.

    A field of a struct is a column whose name has a dot.

    Raises:
        DumpError: the file is damaged.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_PAGES) as file:
            columns = list(choose(parquet_columns(file.schema_arrow)))
            count = 0
            for batch in file.iter_batches(batch_size=RECORDS, columns=columns):
                values = {column: _lists(batch, column) for column in columns}
                yield Rows(values, len(batch), count + 1, name), (count + len(batch)) / file.metadata.num_rows
                count += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, "Parquet", error) from error


def parquet_columns(schema: Any) -> set[str]:
    """The names of the columns of a Parquet file, and of the fields of its structs."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it

    inner = {
        f"{outer.name}.{outer.type.field(place).name}"
        for outer in schema
        if pa.types.is_struct(outer.type)
        for place in range(outer.type.num_fields)
    }
    return {*schema.names, *inner}


def _lists(batch: Any, column: str) -> list[Any]:
    if column in batch.schema.names:
        values: list[Any] = batch.column(column).to_pylist()
        return values
    outer, _, inner = column.partition(".")
    return [None if struct is None else struct[inner] for struct in batch.column(outer).to_pylist()]


def read_csv(stream: IO[bytes], name: str, choose: Choose, headless: Sequence[str] = ()) -> Iterator[Rows]:
    """Iterate over the rows of a CSV. Its first line has the headings.

    Args:
        stream: the text, in UTF-8.
        name: the name of the file, for messages.
        choose: takes the headings and returns those of the columns that are to be read.
        headless: the columns of a CSV whose first line has a number, and so no headings. Its lines may be short.

    Raises:
        DumpError: a line is not CSV, or the text is not UTF-8.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    csv.field_size_limit(_LONGEST_FIELD)
    reader: Any = None
    try:
        first = text.readline()
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
        rows: Iterator[list[str]] = (row for row in reader if row)
        heading = next(rows)
        if headless and any(map(str.isdecimal, heading)):
            rows, heading = chain([heading], rows), list(headless)
        chosen = set(choose(set(heading)))
        places = {column: place for place, column in enumerate(heading) if column in chosen}
        number = 1
        while some := list(islice(rows, RECORDS)):
            picked = [_picked(row, places, heading, is_short=bool(headless)) for row in some]
            yield rows_of(list(places), picked, number, name, of_csv=True)
            number += len(some)
    except (csv.Error, UnicodeDecodeError) as error:
        line = max(1, reader.line_num) if reader else 1
        raise DumpError(f"{name}, line {line:,}: {error}; correct it, or download it again") from error
    finally:
        text.detach()  # the stream is closed by whoever opened it


def _picked(row: list[str], places: dict[str, int], heading: list[str], *, is_short: bool) -> list[str]:
    if len(row) != len(heading):
        if not is_short or len(row) > len(heading):
            raise csv.Error(f"it has {len(row)} fields, and the heading has {len(heading)}")
        row = row + [""] * (len(heading) - len(row))
    return [row[place] for place in places.values()]


@contextmanager
def open_duckdb(path: Path, name: str) -> Iterator[Any]:
    """Open a DuckDB file for a `with` statement, read-only.

    Raises:
        DumpError: duckdb is not installed, or the file is damaged.
    """
    duckdb = library("duckdb", name, "a DuckDB file")
    try:
        limits = {"memory_limit": "128MB", "threads": 1}
        with duckdb.connect(str(path), read_only=True, config=limits) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be written among our own lines
            yield connection
    except duckdb.Error as error:
        raise _damaged(name, "DuckDB", error) from error


@contextmanager
def open_sqlite(path: Path, name: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file for a `with` statement, read-only.

    Raises:
        DumpError: the file is damaged.
    """
    try:
        with closing(sqlite3.connect(sqlite_uri(path, writable=False), uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _damaged(name, "SQLite", error) from error


def columns_by_table(connection: Any) -> dict[str, set[str]]:
    """The names of the columns of each table of an open DuckDB or SQLite file."""
    if isinstance(connection, sqlite3.Connection):
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = "SELECT name FROM pragma_table_info(?)"
        return {
            table: {row[0] for row in connection.execute(columns, [table])}
            for table in tables
            if not table.startswith("sqlite_")
        }
    by_table: dict[str, set[str]] = {}
    rows = connection.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall()
    for table, column in rows:
        by_table.setdefault(table, set()).add(column)
    return by_table


def read_table(connection: Any, table: str, columns: Sequence[str], name: str) -> Iterator[Rows]:
    """Iterate over the rows of a table of an open DuckDB or SQLite file."""
    listed = ", ".join(f'"{column.replace(chr(34), chr(34) * 2)}"' for column in columns)
    quoted = table.replace('"', '""')
    cursor = connection.execute(f'SELECT {listed} FROM "{quoted}"')
    first = 1
    while rows := cursor.fetchmany(RECORDS):
        yield rows_of(columns, rows, first, name)
        first += len(rows)


def _damaged(name: str, kind: str, error: Exception) -> DumpError:
    return DumpError(
        f"{name} is a damaged {kind} file ({' '.join(str(error).split())}); download or copy it again"
    )
