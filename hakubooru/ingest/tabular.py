"""Read tables in batches of rows: Parquet, DuckDB, SQLite and CSV."""

from __future__ import annotations

import csv
import errno
import io
import sqlite3
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from hakubooru.errors import DumpError, IncompleteError
from hakubooru.ingest.batches import RECORDS, Rows, moments_of, rows_of
from hakubooru.ingest.extras import library
from hakubooru.moments import are_of_our_time
from hakubooru.quantity import quantity
from hakubooru.store.layout import columns_of_tables, sqlite_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from hakubooru.ingest.batches import Values

    Choose = Callable[[set[str]], Sequence[str]]
    """A function that takes the names of all columns and returns those that are to be read."""

_DUCKDB_COLUMNS: Final = (
    "SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, schema_name, table_name) "
    "WHERE schema_name = 'main'"
)
DELIMITERS: Final = (",", "\t", ";")
_LONGEST_FIELD: Final = 2**22
_LARGEST_GROUP: Final = 2**26
"""The size of the columns of a row group, in bytes, up to which they are read at the same time."""
_PAGES: Final = 2**20  # read so many bytes of a column at a time, not its whole row group


def read_parquet(
    path: Path, name: str, choose: Choose, *, count: int = RECORDS, largest_group: int = _LARGEST_GROUP
) -> Iterator[tuple[Rows, float]]:
    """Iterate over the rows of a Parquet file, each batch with the share of the file that was read.

    A field of a struct is a column whose name has a dot.

    Args:
        path: the file.
        name: the name of the file, for messages.
        choose: takes the names of all columns and returns those that are to be read.
        count: how many rows a batch has at most.
        largest_group: the size of the columns of a row group, in bytes, up to which they are read at the same time. Those
            of a larger one are unpacked one by one, to the folder of temporary files.

    Raises:
        DumpError: the file is damaged.
        IncompleteError: the disk of temporary files is full.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it

    try:
        with _opened(path) as file:
            columns = list(choose(parquet_columns(file.schema_arrow)))
            rows_before = 0
            for batch in _batches(path, file, columns, count, largest_group):
                values = {column: _values(batch, column) for column in columns}
                yield (
                    Rows(values, len(batch), rows_before + 1, name),
                    (rows_before + len(batch)) / file.metadata.num_rows,
                )
                rows_before += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise IncompleteError(
                f"{tempfile.gettempdir()} is full, where row groups of {name} are unpacked: free some space there, or set TMPDIR "
                "to another folder, and run the same command again"
            ) from error
        raise _damaged(name, "Parquet", error) from error


def _opened(path: Path) -> Any:
    from pyarrow import parquet  # noqa: PLC0415 - heavy, and only this form needs it

    return parquet.ParquetFile(path, pre_buffer=False, buffer_size=_PAGES)


def _batches(path: Path, file: Any, columns: Sequence[str], count: int, largest_group: int) -> Iterator[Any]:
    """Iterate over batches of some columns of an open Parquet file; memory stays bounded.

    Large row groups are copied column by column, one ahead, by a thread that opens the file once more.
    """
    names = set(file.schema_arrow.names)
    by_outer: dict[str, list[str]] = {}
    for column in columns:
        by_outer.setdefault(column if column in names else column.partition(".")[0], []).append(column)
    groups = range(file.num_row_groups)
    with (
        tempfile.TemporaryDirectory(prefix="hakubooru-") as folder,
        _opened(path) as other,
        ThreadPoolExecutor(1) as thread,
    ):

        def ahead(number: int) -> Future[list[Path]]:
            is_large = number in groups and _bytes_of(file, number, by_outer) > largest_group
            chosen = by_outer.values() if is_large else ()
            return thread.submit(_copied, other, number, chosen, count, Path(folder))

        copies = ahead(0)
        for number in groups:
            paths, copies = copies.result(), ahead(number + 1)
            if paths:
                yield from _together(paths, list(by_outer))
            else:
                yield from file.iter_batches(count, row_groups=[number], columns=columns)


def _bytes_of(file: Any, number: int, outer: Collection[str]) -> int:
    """The bytes of some columns of a row group, unpacked."""
    group = file.metadata.row_group(number)
    chunks = map(group.column, range(group.num_columns))
    size: int = sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if {chunk.path_in_schema, chunk.path_in_schema.partition(".")[0]} & set(outer)
    )
    return size


def _copied(file: Any, number: int, columns: Iterable[Sequence[str]], count: int, folder: Path) -> list[Path]:
    """Copy columns of a row group to files of their own; gives their paths.

    A reader has a page of every column in memory, and some writers make pages of 100 MB.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    from pyarrow import ipc  # noqa: PLC0415

    paths = []
    for place, names in enumerate(columns):
        batches = file.iter_batches(count, row_groups=[number], columns=names)
        first = next(batches)
        paths.append(folder / f"{number}-{place}")
        with pa.OSFile(str(paths[-1]), "wb") as copy, ipc.new_stream(copy, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        pa.default_memory_pool().release_unused()  # Arrow keeps the memory of pages, 50 MB a column
    return paths


def _together(paths: Sequence[Path], names: Sequence[str]) -> Iterator[Any]:
    """Iterate over the batches of a row group whose columns lie in files; deletes these."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    from pyarrow import ipc  # noqa: PLC0415

    with ExitStack() as stack:
        readers = [ipc.open_stream(stack.enter_context(pa.OSFile(str(path)))) for path in paths]
        for batches in zip(*readers, strict=True):
            yield pa.RecordBatch.from_arrays([batch.column(0) for batch in batches], names)
    for path in paths:
        path.unlink()


def parquet_columns(schema: Any) -> set[str]:
    """The names of the columns of a Parquet file, and of the fields of its structs.

    A name that two columns have is left out, because it is not known which is meant.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it

    inner = {
        f"{outer.name}.{outer.type.field(place).name}"
        for outer in schema
        if pa.types.is_struct(outer.type)
        for place in range(outer.type.num_fields)
    }
    doubled = {name for name, count in Counter(schema.names).items() if count > 1}
    return {*schema.names, *inner} - doubled


def _values(batch: Any, column: str) -> Values | pa.StringArray:
    """The values of a column; texts and moments stay in Arrow, where tags are cut and dates written much faster."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    import pyarrow.compute as pc  # noqa: PLC0415

    outer, _, inner = column.partition(".")
    array = batch.column(column) if column in batch.schema.names else pc.struct_field(batch[outer], inner)
    if pa.types.is_string(array.type):
        array.validate(full=True)  # a text that is not UTF-8 is damage
        return array
    if (
        pa.types.is_timestamp(array.type)
        and array.type.tz
        and not array.null_count
        and are_of_our_time(moments_of(array))
    ):
        return array
    values: Values = array.to_pylist()
    return values


def read_csv(stream: IO[bytes], name: str, choose: Choose, headless: Sequence[str] = ()) -> Iterator[Rows]:
    """Iterate over the rows of a CSV. Its first line has the headings.

    Args:
        stream: the text, in UTF-8.
        name: the name of the file, for messages.
        choose: takes the headings and returns those of the columns that are to be read.
        headless: the columns of a CSV whose first line has a number, and so no headings. Its lines may be short.

    Raises:
        DumpError: a line is not CSV, two columns that are to be read have one name, or the text is not UTF-8.
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
        places = _places(heading, chosen)
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


def _places(heading: Sequence[str], chosen: Collection[str]) -> dict[str, int]:
    """The places of the columns that are to be read."""
    doubled = sorted(column for column in chosen if heading.count(column) > 1)
    if doubled:
        raise csv.Error(f"it has two columns {doubled[0]!r}; rename one of them")
    return {column: place for place, column in enumerate(heading) if column in chosen}


def _picked(row: list[str], places: dict[str, int], heading: list[str], *, is_short: bool) -> list[str]:
    if len(row) != len(heading):
        if not is_short or len(row) > len(heading):
            raise csv.Error(f"it has {quantity(len(row), 'field')}, and the heading has {len(heading)}")
        row = row + [""] * (len(heading) - len(row))
    return [row[place] for place in places.values()]


def open_tables(path: Path, kind: str, name: str) -> AbstractContextManager[Any]:
    """Open a DuckDB or SQLite file for a `with` statement, read-only.

    Args:
        path: the file.
        kind: "DuckDB" or "SQLite".
        name: the name of the file, for messages.

    Raises:
        DumpError: duckdb is not installed, or the file is damaged.
    """
    return (_open_duckdb if kind == "DuckDB" else _open_sqlite)(path, name)


@contextmanager
def _open_duckdb(path: Path, name: str) -> Iterator[Any]:
    duckdb = library("duckdb", name, "a DuckDB file")
    limits = {"memory_limit": "128MB", "threads": 1, "enable_external_access": False}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="hakubooru-") as folder,
            duckdb.connect(
                str(path), read_only=True, config=limits | {"temp_directory": folder}
            ) as connection,
        ):
            connection.execute("SET enable_progress_bar = false")  # it would be written among our own lines
            yield connection
    except duckdb.Error as error:
        raise _damaged(name, "DuckDB", error) from error


@contextmanager
def _open_sqlite(path: Path, name: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(sqlite_uri(path, writable=False), uri=True)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _damaged(name, "SQLite", error) from error


def columns_by_table(connection: Any) -> dict[str, set[str]]:
    """The names of the columns of each table of an open DuckDB or SQLite file."""
    if isinstance(connection, sqlite3.Connection):
        return columns_of_tables(connection)
    by_table: dict[str, set[str]] = {}
    for table, column, kind in connection.execute(_DUCKDB_COLUMNS).fetchall():
        by_table.setdefault(table, set()).add(column)
        if kind.startswith("STRUCT("):
            fields = connection.sql(f"SELECT unnest({_quoted(column)}) FROM {_quoted(table)} LIMIT 0").columns
            by_table[table].update(f"{column}.{name}" for name in fields)
    return by_table


def read_table(connection: Any, table: str, columns: Sequence[str], name: str) -> Iterator[Rows]:
    """Iterate over the rows of a table of an open DuckDB or SQLite file."""
    rows = _quoted(table)
    own = {column[0] for column in connection.execute(f"SELECT * FROM {rows} LIMIT 0").description}
    listed = ", ".join(_quoted(column) if column in own else _field(column) for column in columns)
    cursor = connection.execute(f"SELECT {listed} FROM {rows}")
    first = 1
    while some := cursor.fetchmany(RECORDS):
        yield rows_of(columns, some, first, name)
        first += len(some)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _field(column: str) -> str:
    """A field of a struct of DuckDB."""
    return ".".join(map(_quoted, column.split(".", 1)))


def _damaged(name: str, kind: str, error: Exception) -> DumpError:
    return DumpError(
        f"{name} is a damaged {kind} file ({' '.join(str(error).split())}); download or copy it again"
    )
