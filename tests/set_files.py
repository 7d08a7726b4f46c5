"""Files of any form for tests: lines, tables, archives and compressions."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import py7zr
import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from pathlib import Path


def lines(records: list[Any]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def tar_of(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def write(path: Path, data: bytes) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return [path]


def write_rows(path: Path, records: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(records), path, **options)
    return path


def sharded(folder: Path, pattern: str, shards: list[list[dict[str, Any]]]) -> list[Path]:
    return [write_rows(folder / pattern.format(place), shard) for place, shard in enumerate(shards)]


def write_sqlite(path: Path, tables: dict[str, list[dict[str, Any]]]) -> list[Path]:
    with closing(sqlite3.connect(path)) as connection:
        for name, rows in tables.items():
            columns = ", ".join(f'"{column}"' for column in rows[0])
            connection.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(
                f"INSERT INTO {name} VALUES ({marks})", [list(row.values()) for row in rows]
            )
        connection.commit()
    return [path]


def write_duckdb(path: Path, rows: list[dict[str, Any]]) -> list[Path]:
    table = pa.Table.from_pylist(rows)
    with duckdb.connect(str(path)) as connection:
        connection.register("rows_of_arrow", table)
        connection.execute("CREATE TABLE posts AS SELECT * FROM rows_of_arrow")
    return [path]


def shard_row(post: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value or None if name.startswith("tag_string_") else value
        for name, value in post.items()
        if name != "media_asset"
    }


def as_csv(some: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    flags = {True: "t", False: "f", None: ""}
    rows = [
        [
            flags[value] if value is None or isinstance(value, bool) else value
            for value in shard_row(post).values()
        ]
        for post in some
    ]
    csv.writer(file).writerows([shard_row(some[0]), *rows])
    return file.getvalue().encode("utf-8-sig")


def as_table(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    return file.getvalue().encode()


def zipped(path: Path, data: bytes) -> list[Path]:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata/posts.json", data)
    return [path]


def seven_zipped(path: Path, data: bytes) -> list[Path]:
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(data, "metadata/posts.json")
    return [path]
