"""Read posts in batches into Arrow tables, pandas frames and Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from peewee import BooleanField, IntegerField
from pyarrow import parquet

from hakubooru.errors import DestinationError, InputError
from hakubooru.files import replacing
from hakubooru.nearest import nearest
from hakubooru.select.arguments import column
from hakubooru.store.about import MAY_BE_NULL
from hakubooru.store.schema import RATINGS, Post
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 50_000

COLUMNS: Final = tuple(field.name for field in Post._meta.sorted_fields)  # noqa: SLF001 - peewee's documented name
"""The columns of posts, in the order of the file."""


def read_batches(database: Store, ids: Ids, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Iterate over posts as Arrow record batches of 50,000, in the order of `ids`; ratings are names.

    Raises:
        InputError: posts have no column of that name.
    """
    schema = arrow_schema(columns)
    sql = (
        f"SELECT {', '.join(schema.names)} FROM post WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    )
    for start in range(0, len(ids), _POSTS_A_BATCH):
        posts = ids[start : start + _POSTS_A_BATCH]
        rows = database.rows(sql, [id_text(posts)])
        values = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [_array(field, list(column)) for field, column in zip(schema, values, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        yield batch.take(pa.array(np.argsort(np.argsort(posts))))


def arrow_schema(columns: Sequence[str] | None) -> pa.Schema:
    """Make the Arrow schema of columns of posts; None means all columns.

    Raises:
        InputError: posts have no column of that name.
    """
    if isinstance(columns, str):
        raise InputError(f"columns are given as a list: [{columns!r}], not {columns!r}")
    names = COLUMNS if columns is None else tuple(map(column, columns))
    if not names:
        raise InputError("no columns are given; name one, such as id, or leave them away for all")
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"posts have no column {name!r}; {nearest(name, COLUMNS)}")
    return pa.schema([(name, _arrow_type(name), Post._meta.fields[name].null) for name in names])  # noqa: SLF001


def read_table(database: Store, ids: Ids, columns: Sequence[str] | None) -> pa.Table:
    """Read posts into an Arrow table, in the order of `ids`.

    Raises:
        InputError: posts have no column of that name.
    """
    return pa.Table.from_batches(read_batches(database, ids, columns), schema=arrow_schema(columns))


def write_parquet(path: Path, database: Store, ids: Ids, columns: Sequence[str] | None) -> None:
    """Write posts to a Parquet file, in the order of `ids` and in constant memory.

    The file appears only when it is complete.

    Raises:
        InputError: posts have no column of that name.
        DestinationError: the file cannot be written.
    """
    schema = arrow_schema(columns)
    try:
        with replacing(path) as beside, parquet.ParquetWriter(beside, schema) as writer:
            for batch in read_batches(database, ids, columns):
                writer.write_batch(batch)
    except OSError as error:
        raise DestinationError(f"{path} cannot be written: {error.strerror}; choose another path") from error


def read_frame(database: Store, ids: Ids, columns: Sequence[str] | None) -> pd.DataFrame:
    """Read posts into a pandas frame, in the order of `ids`; columns of integers that may be missing are `Int64`.

    Raises:
        InputError: posts have no column of that name.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that only frames need

    table = read_table(database, ids, columns)
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    gaps = {*MAY_BE_NULL, *database.about.unknown, *database.about.lacking}
    nullable = [
        field.name for field in table.schema if field.name in gaps and pa.types.is_integer(field.type)
    ]
    return frame.astype(dict.fromkeys(nullable, pd.Int64Dtype()))


def _arrow_type(name: str) -> pa.DataType:
    field = Post._meta.fields[name]  # noqa: SLF001
    if name == "rating":
        return pa.dictionary(pa.int8(), pa.string())
    if isinstance(field, BooleanField):
        return pa.bool_()
    return pa.int64() if isinstance(field, IntegerField) else pa.string()


def _array(field: pa.Field, values: list[Any]) -> pa.Array:
    if field.name == "rating":
        return pa.DictionaryArray.from_arrays(pa.array(values, pa.int8()), pa.array(RATINGS))
    if pa.types.is_boolean(field.type):
        return pa.array([None if value is None else bool(value) for value in values], field.type)
    return pa.array(values, field.type)
