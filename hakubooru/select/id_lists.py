"""Read and write lists of post ids: text files, CSV and Parquet."""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import as_ids, distinct, id_column, is_id
from hakubooru.errors import InputError
from hakubooru.files import read_text, replacing
from hakubooru.store.value_files import ID_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids

SUFFIXES: Final = (".txt", ".parquet")
"""The formats of a list of ids: text with one id a line, or Parquet with a column `id`."""


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
    lines = [line.strip() for line in lines]
    with suppress(ValueError, OverflowError):
        ids = np.array([int(line) for line in lines if line], np.int64)
        text = "".join(lines)
        if text.isascii() and "_" not in text:  # Python takes 3_0 for 30, and digits of other scripts
            return ids
    for number, line in enumerate(lines, 1):
        if line and not is_id(line):
            raise InputError(
                f"{path}, line {number}: {line[:40]!r} is not a post id; write one whole number a line"
            )
    return ids


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


def check_suffix(path: Path) -> None:
    """Check that ids can be written in the format of a file's suffix.

    Raises:
        InputError: the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a file of ids must end in {' or '.join(SUFFIXES)}")


def write_ids(path: str | os.PathLike[str], ids: Iterable[int]) -> None:
    """Write ids, in their order, to a text file (one a line) or a Parquet file (column `id`), depending on the suffix.

    Args:
        path: the file.
        ids: a list or other iterable, an array or a table, as `among` takes them.

    Raises:
        InputError: the suffix is neither .txt nor .parquet, an entry is not an id, or the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    ids = as_ids(ids)
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
            name = id_column(file.schema_arrow.names, str(path))
            column = file.read([name])[name]
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file with a column `id`") from error
    return as_ids(column, str(path))
