"""Read and write lists of post ids: files, and the arrays and tables of other libraries."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import distinct
from hakubooru.errors import InputError
from hakubooru.files import read_text, replacing
from hakubooru.store.value_files import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids

SUFFIXES: Final = (".txt", ".parquet")
"""The formats of a list of ids: text with one id a line, or Parquet with a column `id`."""
_EXACT: Final = 2**53
"""The largest whole number up to which floats are exact."""
_PANDAS_INDEX: Final = "__index_level_"


def read_ids(path: str | os.PathLike[str]) -> Ids:
    """Read ids, in their order, (N,) int64, from a text file (one a line), or the column `id` of a CSV or Parquet file.

    A text file is a CSV if its first line has the heading `id` or `post_id`.

    Raises:
        InputError: the file cannot be read, or a line is not an id.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        lines = _column_of_csv(read_text(path).split("\n"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; give a text file with one post id a line"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text; give a text file with one post id a line") from error
    try:
        return np.array([int(line) for line in lines if line.strip()], np.int64)
    except (ValueError, OverflowError) as error:
        number, line = next((i, line) for i, line in enumerate(lines, 1) if line.strip() and not _is_id(line))
        raise InputError(
            f"{path}, line {number}: {line.strip()[:40]!r} is not a post id; write one whole number a line"
        ) from error


def _column_of_csv(lines: list[str]) -> list[str]:
    """The values of the column of ids below the headings, a line for a line; other lines are returned unchanged."""
    delimiter = max(",\t;", key=lines[0].count)
    try:
        heading = next(csv.reader(lines[:1], delimiter=delimiter), [])
        name = next((name for name in ID_NAMES if name in heading), None)
        if name is None:
            return lines
        place = heading.index(name)
        rows = csv.reader(lines[1:], delimiter=delimiter, strict=True)
        return ["", *(row[place] if len(row) > place else ",".join(row) for row in rows)]
    except csv.Error:
        return lines


def packed(ids: Iterable[int] | os.PathLike[str] | str) -> bytes:
    """Convert ids to little-endian int64, ascending and each once.

    Args:
        ids: a list or other iterable; a NumPy, pandas, Arrow or Polars array; a table with a column `id`, or with a
            single column; or the path of a file.

    Raises:
        InputError: the file cannot be read, or an entry is not an id.
    """
    values = read_ids(Path(ids)) if isinstance(ids, str | os.PathLike) else as_ids(ids)
    return distinct(values).astype("<i8").tobytes()


def as_ids(ids: Any, place: str = "the list of ids") -> Ids:
    """Convert ids to an array, in their order, (N,) int64.

    An entry may be a whole number of any type, such as 3.0 (pandas makes it of 3), or a string of digits.

    Args:
        ids: a list or other iterable; a NumPy, pandas, Arrow or Polars array; or a table with a column `id`, or with a
            single column.
        place: the name of the list, for messages.

    Raises:
        InputError: an entry is not an id.
    """
    values = _array(ids, place)
    if values.ndim != 1:
        raise InputError(f"{place} has {values.ndim} dimensions; give one row of post ids")
    kind = values.dtype.kind
    if kind in "mM":  # NumPy would convert dates to numbers
        values = values.astype(str)
    if kind == "i" or (kind == "u" and (not len(values) or values.max() < 2**63)):
        return values.astype(np.int64)
    if kind == "f" and np.all(np.abs(values) <= _EXACT) and np.all(values == np.floor(values)):
        return values.astype(np.int64)
    return np.array([_id(value, row, place) for row, value in enumerate(values.tolist(), 1)], np.int64)


def _array(ids: Any, place: str) -> np.ndarray[Any, Any]:
    if isinstance(ids, np.ndarray):
        return ids
    names = getattr(ids, "column_names", None)
    names = getattr(ids, "columns", None) if names is None else names
    if names is not None:
        ids = ids[_column(list(names), place)]
    elif not hasattr(ids, "__array__") and hasattr(ids, "__arrow_c_stream__"):
        import pyarrow as pa  # noqa: PLC0415 - only needed for Arrow data, whose owner has it

        ids = pa.chunked_array(ids)
        if pa.types.is_struct(ids.type):  # a table
            return _array(pa.Table.from_struct_array(ids), place)
    if hasattr(ids, "__array__"):
        return np.asarray(ids)
    if not isinstance(ids, Iterable) or isinstance(ids, bytes | bytearray):
        raise InputError(f"{place} must be a list, an array or a file of post ids, not {ids!r}")
    entries = list(ids)
    if set(map(type, entries)) == {int} and min(entries) >= -(2**63) and max(entries) < 2**63:
        return np.array(entries, np.int64)
    values = np.empty(len(entries), object)
    values[:] = entries
    return values


def _column(names: Sequence[str], place: str) -> str:
    """The name of the column with the ids: `id`, or the only column."""
    names = [name for name in names if not str(name).startswith(_PANDAS_INDEX)]
    if "id" in names:
        return "id"
    if len(names) != 1:
        raise InputError(
            f"{place} has no column id; pass only the column with the ids, one of {', '.join(map(str, names))}"
        )
    return names[0]


def _id(value: Any, row: int, place: str) -> int:
    try:
        number = int(value)
        is_same = isinstance(value, str) or (number == value and not isinstance(value, bool))
        if is_same and _is_id(value) and (not isinstance(value, float) or abs(value) <= _EXACT):
            return number
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        pass
    raise InputError(
        f"{place}, entry {row}: {str(value)[:40]!r} is not a post id; give whole numbers, none of them missing"
    )


def check_suffix(path: Path) -> None:
    """Check that ids can be written in the format of a file's suffix.

    Raises:
        InputError: the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a file of ids must end in {' or '.join(SUFFIXES)}")


def write_ids(path: str | os.PathLike[str], ids: Ids) -> None:
    """Write ids, (N,) int64, to a text file (one a line) or a Parquet file (column `id`), depending on the suffix.

    Raises:
        InputError: the suffix is neither .txt nor .parquet, or the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    try:
        with replacing(path) as beside:
            if path.suffix == ".parquet":
                import pyarrow as pa  # noqa: PLC0415 - heavy, and only this format needs it
                from pyarrow import parquet  # noqa: PLC0415

                parquet.write_table(pa.table({"id": ids}), beside)
            else:
                with beside.open("w", encoding="utf-8", newline="\n") as file:
                    file.writelines(f"{post_id}\n" for post_id in ids.tolist())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another path") from error


def _read_parquet(path: Path) -> Ids:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path) as file:
            name = _column(file.schema_arrow.names, str(path))
            column = file.read([name])[name]
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file with a column `id`") from error
    return as_ids(column, str(path))


def _is_id(text: Any) -> bool:
    try:
        return -(2**63) <= int(text) < 2**63
    except ValueError:
        return False
