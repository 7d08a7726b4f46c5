"""Read posts in batches into Arrow tables and pandas frames, and write them to Parquet, CSV and JSON lines.

Beside the columns of the file there are columns that are made of several: `tags`, the tags of each type (`character`,
`artist`, …), `caption`, `quality` and `year`. Dates are moments with Danbooru's time zone; one that cannot be read is
missing.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from peewee import BooleanField, IntegerField
from pyarrow import parquet

from hakubooru.arrays import id_text
from hakubooru.caption import Captioner
from hakubooru.errors import DestinationError, InputError
from hakubooru.files import replacing
from hakubooru.nearest import nearest
from hakubooru.select.arguments import column
from hakubooru.store.about import MAY_BE_NULL
from hakubooru.store.schema import TAG_TYPES, Post

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store

_POSTS_A_BATCH: Final = 50_000
_MADE_A_BATCH: Final = 5_000
"""Posts of a batch with columns that are made of tags."""

COLUMNS: Final = tuple(field.name for field in Post._meta.sorted_fields)  # noqa: SLF001 - peewee's documented name
"""The columns of posts, in the order of the file."""
MADE: Final = ("tags", *TAG_TYPES, "caption", "quality", "year")
"""The columns that are made of several; captions and quality are those of kohaku-epsilon."""
SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
"""The formats of a file of posts."""
_DATES: Final = ("created_at", "updated_at")
_ZONE: Final = "America/New_York"
"""Danbooru's time zone."""


def read_batches(database: Store, ids: Ids, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Iterate over posts as Arrow record batches of at most 50,000, in the order of `ids`; ratings are the site's names.

    Raises:
        InputError: posts have no column of that name.
    """
    schema = arrow_schema(columns)
    made_columns = [name for name in schema.names if name in MADE]
    stored = [name for name in schema.names if name not in made_columns]
    sql = f"SELECT {', '.join(['id', *stored])} FROM post WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    captioner = Captioner(database) if {"caption", "quality"} & {*made_columns} else None
    ratings = pa.array(database.about.site.rating_names)
    step = _MADE_A_BATCH if made_columns else _POSTS_A_BATCH
    for start in range(0, len(ids), step):
        posts = ids[start : start + step]
        rows = database.rows(sql, [id_text(posts)])
        numbers, *values = map(list, zip(*rows, strict=True)) if rows else [[] for _ in ["id", *stored]]
        of_posts = dict(zip(stored, values, strict=True)) | _made(database, numbers, made_columns, captioner)
        arrays = [_array(field, of_posts[field.name], ratings) for field in schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        yield batch.take(pa.array(np.argsort(np.argsort(posts))))


def arrow_schema(columns: Sequence[str] | None) -> pa.Schema:
    """Make the Arrow schema of columns of posts, each once; None or "all" means all columns of the file.

    Raises:
        InputError: posts have no column of that name.
    """
    if isinstance(columns, str):
        raise InputError(f"columns are given as a list: [{columns!r}], not {columns!r}")
    names = COLUMNS if columns is None else tuple(map(column, columns))
    if not names:
        raise InputError("no columns are given; name one, such as id, or leave them away for all")
    names = tuple(dict.fromkeys(chain.from_iterable(COLUMNS if name == "all" else [name] for name in names)))
    for name in names:
        if name not in (*COLUMNS, *MADE):
            raise InputError(f"posts have no column {name!r}; {nearest(name, (*COLUMNS, *MADE))}")
    return pa.schema([(name, _arrow_type(name), _may_be_missing(name)) for name in names])


def read_table(database: Store, ids: Ids, columns: Sequence[str] | None) -> pa.Table:
    """Read posts into an Arrow table, in the order of `ids`.

    Raises:
        InputError: posts have no column of that name.
    """
    return pa.Table.from_batches(read_batches(database, ids, columns), schema=arrow_schema(columns))


def check_table_suffix(path: Path) -> None:
    """Check that posts can be written in the format of a file's suffix.

    Raises:
        InputError: the suffix is not one of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: a file of posts must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def write_table(path: Path, database: Store, ids: Ids, columns: Sequence[str] | None) -> None:
    """Write posts to a Parquet file, CSV or JSON lines, in the order of `ids` and in constant memory.

    In CSV, a list is written with blanks between its tags. The file appears only when it is complete.

    Raises:
        InputError: posts have no column of that name, or the suffix is not one of `SUFFIXES`.
        DestinationError: the file cannot be written.
    """
    check_table_suffix(path)
    schema = arrow_schema(columns)
    batches = read_batches(database, ids, columns)
    write = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}[path.suffix]
    try:
        with replacing(path) as beside:
            write(beside, schema, batches)
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
    gaps = {*MADE, *MAY_BE_NULL, *database.about.unknown, *database.about.lacking}
    nullable = [
        field.name for field in table.schema if field.name in gaps and pa.types.is_integer(field.type)
    ]
    for field in table.schema:
        if pa.types.is_list(field.type):
            frame[field.name] = table[field.name].to_pylist()  # pandas would get arrays
    return frame.astype(dict.fromkeys(nullable, pd.Int64Dtype()))


def _write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_csv(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.names)
        for batch in batches:
            for row in batch.to_pylist():
                writer.writerow(
                    " ".join(value) if isinstance(value, list) else _text(value) for value in row.values()
                )


def _write_jsonl(path: Path, _: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in batches:
            for row in batch.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False, default=_text) + "\n")


def _text(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


def _made(
    database: Store, ids: list[int], names: Sequence[str], captioner: Captioner | None
) -> dict[str, list[Any]]:
    """Make columns of some posts, by name."""
    values: dict[str, list[Any]] = {}
    if {"tags", *TAG_TYPES} & {*names}:
        tags = database.tags_of_posts(ids)
        values["tags"] = [[str(tag) for tag in tags.get(number, ())] for number in ids]
        for kind in TAG_TYPES:
            values[kind] = [[str(tag) for tag in tags.get(number, ()) if tag.type == kind] for number in ids]
    if captioner is not None:
        posts = np.array(ids, np.int64)
        values["caption"] = [text for _, text in captioner.captions(posts)] if "caption" in names else []
        values["quality"] = [next(iter(parts["quality"]), None) for _, parts in captioner.parts(posts)]
    if "year" in names:
        rows = database.rows(
            "SELECT created_at FROM post WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            [id_text(ids)],
        )
        values["year"] = [
            None if moment is None else moment.year for moment in map(_moment, (text for (text,) in rows))
        ]
    return values


def _moment(text: str | None) -> datetime | None:
    """The moment of a date of the file; None if it cannot be read."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(_ZONE))


def _may_be_missing(name: str) -> bool:
    if name in MADE:
        return name in ("quality", "year")
    return name in _DATES or bool(Post._meta.fields[name].null)  # noqa: SLF001


def _arrow_type(name: str) -> pa.DataType:
    if name in _DATES:
        return pa.timestamp("ms", _ZONE)
    if name in ("tags", *TAG_TYPES):
        return pa.list_(pa.string())
    if name in MADE:
        return pa.int32() if name == "year" else pa.string()
    field = Post._meta.fields[name]  # noqa: SLF001
    if name == "rating":
        return pa.dictionary(pa.int8(), pa.string())
    if isinstance(field, BooleanField):
        return pa.bool_()
    return pa.int64() if isinstance(field, IntegerField) else pa.string()


def _array(field: pa.Field, values: list[Any], ratings: pa.Array) -> pa.Array:
    if field.name == "rating":
        return pa.DictionaryArray.from_arrays(pa.array(values, pa.int8()), ratings)
    if field.name in _DATES:
        return pa.array(map(_moment, values), field.type)
    if pa.types.is_boolean(field.type):
        return pa.array([None if value is None else bool(value) for value in values], field.type)
    return pa.array(values, field.type)
