"""The posts of a dump in every form that a build reads: compressions, archives, folders and tables."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import shutil
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brotli
import duckdb
import py7zr
import pyarrow as pa
from backports import zstd
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 50_000


def form_writers(dump: Path, reference: Path) -> dict[str, Callable[[Path], Path]]:
    """The forms of the posts of a dump: each takes an empty folder, and returns the path that a build is given.

    The three tables come from the reference; the others are written from the lines of the dump.
    """
    packed: dict[str, Callable[[Path], Any]] = {
        "gz": lambda path: gzip.open(path, "wb", compresslevel=1),  # noqa: SIM115 - `copied` closes it
        "xz": lambda path: lzma.open(path, "wb", preset=0),  # noqa: SIM115 - `copied` closes it
        "bz2": lambda path: bz2.open(path, "wb", compresslevel=1),  # noqa: SIM115 - `copied` closes it
        "zst": lambda path: zstd.open(path, "wb"),
        "br": _Brotli,
    }
    return {
        "lines": lambda folder: copied(dump, (folder / "posts.jsonl").open("wb")),
        "array": lambda folder: array(dump, folder / "posts.json"),
        **{
            f"lines in {ending}": lambda folder, ending=ending, open_file=open_file: copied(
                dump, open_file(folder / f"posts.jsonl.{ending}"), folder / f"posts.jsonl.{ending}"
            )
            for ending, open_file in packed.items()
        },
        "lines in zip": lambda folder: zipped(dump, folder / "posts.zip"),
        "lines in 7z": lambda folder: seven_zipped(dump, folder / "posts.7z"),
        "tar of objects": lambda folder: tarred(dump, folder / "posts.tar"),
        "folder of objects": lambda folder: scattered(dump, folder / "posts"),
        "CSV": lambda folder: by_duckdb(dump, folder / "posts.csv", "(HEADER)"),
        "Parquet": lambda folder: by_duckdb(dump, folder / "posts.parquet", "(FORMAT parquet)"),
        "Parquet, one row group": lambda folder: by_duckdb(
            dump, folder / "posts.parquet", "(FORMAT parquet, ROW_GROUP_SIZE 100000000)"
        ),
        "Parquet of pyarrow": lambda folder: by_pyarrow(dump, folder / "posts.parquet"),
        "Parquet, eight shards": lambda folder: shards(dump, folder / "posts"),
        "DuckDB": lambda folder: duckdb_table(dump, folder / "posts.duckdb"),
        "SQLite": lambda folder: sqlite_table(dump, folder / "posts.db"),
        "three tables, Parquet": lambda folder: three_tables(reference, folder / "tables"),
        "three tables, DuckDB": lambda folder: three_in_duckdb(reference, folder),
        "three tables, SQLite": lambda folder: Path(shutil.copyfile(reference, folder / "posts.db")),
    }


class _Brotli:
    """A file that is packed with brotli as it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._compressor = brotli.Compressor(quality=1)

    def write(self, data: bytes) -> int:
        self._file.write(self._compressor.process(data))
        return len(data)

    def close(self) -> None:
        self._file.write(self._compressor.finish())
        self._file.close()


def copied(dump: Path, out: Any, path: Path | None = None) -> Path:
    with dump.open("rb") as lines, closing(out):
        shutil.copyfileobj(lines, out, 2**20)
    return path or Path(out.name)


def array(dump: Path, path: Path) -> Path:
    with dump.open("rb") as lines, path.open("wb") as out:
        for number, line in enumerate(lines):
            out.write((b",\n" if number else b"[") + line.rstrip())
        out.write(b"]")
    return path


def zipped(dump: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(dump, "posts.jsonl")
    return path


def seven_zipped(dump: Path, path: Path) -> Path:
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]
    with py7zr.SevenZipFile(path, "w", filters=filters) as archive:
        archive.write(dump, "posts.jsonl")
    return path


def objects(dump: Path) -> Iterator[tuple[str, bytes]]:
    """The objects of a dump, with the names that Disty0 gives them."""
    with dump.open("rb") as lines:
        for line in lines:
            post = json.loads(line)
            yield f"{post['id'] // 10_000}/{post['id']}.json", json.dumps(post, indent=4).encode()


def tarred(dump: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in objects(dump):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            archive.members.clear()
    return path


def scattered(dump: Path, folder: Path) -> Path:
    for name, data in objects(dump):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_lines(dump: Path) -> str:
    return f"read_json('{dump}', maximum_object_size = 100000000)"


def by_duckdb(dump: Path, path: Path, form: str) -> Path:
    duckdb.sql(f"COPY (SELECT * FROM {read_lines(dump)}) TO '{path}' {form}")
    return path


def by_pyarrow(dump: Path, path: Path) -> Path:
    """A file with the row groups of a million rows that pyarrow makes by default."""
    reader = duckdb.sql(f"SELECT * FROM {read_lines(dump)}").to_arrow_reader(ROWS)
    parquet.write_table(reader.read_all(), path)
    return path


def shards(dump: Path, folder: Path) -> Path:
    folder.mkdir()
    duckdb.sql(f"CREATE OR REPLACE TABLE posts AS SELECT * FROM {read_lines(dump)}")
    for shard in range(8):
        path = folder / f"train-{shard:05}-of-00008.parquet"
        duckdb.sql(f"COPY (SELECT * FROM posts WHERE id % 8 = {shard}) TO '{path}' (FORMAT parquet)")
    duckdb.sql("DROP TABLE posts")
    return folder


def duckdb_table(dump: Path, path: Path) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE posts AS SELECT * FROM {read_lines(dump)}")
    return path


def sqlite_table(dump: Path, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as flat, dump.open("rb") as lines:
        columns = list(json.loads(next(lines)))
        lines.seek(0)
        flat.execute(f"CREATE TABLE posts ({', '.join(columns)})")
        rows = (list(json.loads(line).values()) for line in lines)
        flat.executemany(f"INSERT INTO posts VALUES ({', '.join('?' * len(columns))})", rows)
        flat.commit()
    return path


def three_tables(reference: Path, folder: Path) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(reference)) as source:
        for name in ("post", "tag", "posttagrelation"):
            write_table(source, name, folder / f"{name}.parquet")
    return folder


def three_in_duckdb(reference: Path, folder: Path) -> Path:
    tables = three_tables(reference, folder / "tables")
    with duckdb.connect(str(folder / "tables.duckdb")) as connection:
        for file in tables.iterdir():
            connection.execute(f"CREATE TABLE {file.stem} AS SELECT * FROM read_parquet('{file}')")
        # as KBlueLeaf's file with indices has them
        connection.execute("CREATE INDEX post_id_relation ON posttagrelation (post_id)")
        connection.execute("CREATE INDEX tag_id_relation ON posttagrelation (tag_id)")
        connection.execute("CREATE UNIQUE INDEX post_id ON post (id)")
        connection.execute("CREATE UNIQUE INDEX tag_name ON tag (name)")
    shutil.rmtree(tables)
    return folder / "tables.duckdb"


def write_table(source: sqlite3.Connection, name: str, path: Path) -> None:
    """A table of SQLite as a Parquet file."""
    cursor = source.execute(f"SELECT * FROM {name} ORDER BY id")
    names = [column[0] for column in cursor.description]
    writer = None
    while rows := cursor.fetchmany(ROWS):
        batch = pa.table(dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True)))
        writer = writer or parquet.ParquetWriter(path, nullable(batch))
        writer.write_table(batch.cast(writer.schema))
    if writer:
        writer.close()


def nullable(table: pa.Table) -> pa.Schema:
    """The schema of a table; a column without any value in its first rows is of text."""
    return pa.schema(
        [(field.name, pa.string() if pa.types.is_null(field.type) else field.type) for field in table.schema]
    )
