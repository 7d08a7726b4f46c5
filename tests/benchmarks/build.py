"""`hakubooru db build` beside a bare `executemany` of the same rows, and from every form of the same posts.

    python tests/benchmarks/build.py [--posts N] [--folder DIR] [--forms [FORM …]]

With `--forms`, the same posts are read as JSON lines in every compression, as objects in a tar and a folder, as tables of every
kind, and as KBlueLeaf's three tables. The bare one is timed without reading the rows: into the published tables with their indices in place, and into
the tables alone with the indices made afterwards. `db build` is a process of its own, parsing and all.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brotli
import duckdb
import py7zr
import pyarrow as pa
from backports import zstd
from generate import POST_ROW, RELATION_ROW, generate
from pyarrow import parquet

import hakubooru as hb
from hakubooru.store.schema import RATINGS
from hakubooru.store.sites import DANBOORU

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

POSTS_A_CHUNK = 50_000
FLAGS = (
    "has_children",
    "is_deleted",
    "is_banned",
    "has_active_children",
    "has_large",
    "has_visible_children",
)


def write_dump(source: sqlite3.Connection, path: Path) -> None:
    """The posts as the API gives them, one a line, with some of the keys that no column takes."""
    types = dict(source.execute("SELECT id, type FROM tag"))
    names = dict(source.execute("SELECT id, name FROM tag"))
    rows = source.execute("SELECT * FROM post ORDER BY id")
    columns = [column[0] for column in rows.description]
    tags = source.execute(
        "SELECT group_concat(tag_id) FROM posttagrelation GROUP BY post_id ORDER BY post_id"
    )
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row, (ids,) in zip(rows, tags, strict=True):
            post = dict(zip(columns, row, strict=True))
            by_type: list[list[str]] = [[] for _ in DANBOORU.tag_types]
            for tag_id in map(int, ids.split(",")):
                by_type[types[tag_id]].append(names[tag_id])
            post |= {name: bool(post[name]) for name in FLAGS}
            post |= {"rating": RATINGS[post["rating"]][0], "last_noted_at": None, "is_pending": False}
            post |= {
                f"tag_string_{kind}": " ".join(some)
                for kind, some in zip(DANBOORU.tag_types, by_type, strict=True)
            }
            post |= {
                f"tag_count_{kind}": len(some) for kind, some in zip(DANBOORU.tag_types, by_type, strict=True)
            }
            post["tag_string"] = " ".join(sorted(name for some in by_type for name in some))
            file.write(json.dumps(post, ensure_ascii=False) + "\n")


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
            f"lines in {ending}": lambda folder, ending=ending, opened=opened: copied(
                dump, opened(folder / f"posts.jsonl.{ending}"), folder / f"posts.jsonl.{ending}"
            )
            for ending, opened in packed.items()
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
    reader = duckdb.sql(f"SELECT * FROM {read_lines(dump)}").to_arrow_reader(POSTS_A_CHUNK)
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
    while rows := cursor.fetchmany(POSTS_A_CHUNK):
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


def bare(source: sqlite3.Connection, path: Path, *, indices_after: bool) -> tuple[float, float]:
    """Seconds of executemany, and seconds of the processor."""
    hb.create(path).close()
    seconds = processor = 0.0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = -65536")
        indices = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
        ).fetchall()
        for name, _ in indices if indices_after else ():
            connection.execute(f"DROP INDEX {name}")
        posts = source.execute("SELECT * FROM post ORDER BY id")
        low = 0
        while some := posts.fetchmany(POSTS_A_CHUNK):
            pairs = source.execute(
                "SELECT post_id, tag_id FROM posttagrelation WHERE post_id > ? AND post_id <= ?",
                [low, some[-1][0]],
            ).fetchall()
            low = some[-1][0]
            started, busy = time.perf_counter(), time.process_time()
            connection.execute("BEGIN")
            connection.executemany(POST_ROW, some)
            connection.executemany(RELATION_ROW, pairs)
            connection.execute("COMMIT")
            seconds += time.perf_counter() - started
            processor += time.process_time() - busy
        started, busy = time.perf_counter(), time.process_time()
        for _, sql in indices if indices_after else ():
            connection.execute(sql)
        return seconds + time.perf_counter() - started, processor + time.process_time() - busy


# A child begins with the peak of the process that it was forked from, so a small one has to do it.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def built(dump: Path, path: Path) -> tuple[float, float, float]:
    """Seconds, seconds of the processor and peak MB of the command."""
    command = [
        sys.executable,
        "-c",
        "from hakubooru_cli.main import main; main()",
        "db",
        "build",
        dump,
        "--out",
        path,
    ]
    started = time.perf_counter()
    shown = subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True)
    processor, peak = map(float, shown.stdout.split()[-2:])
    return time.perf_counter() - started, processor, peak


def time_forms(folder: Path, reference: Path, chosen: Collection[str]) -> None:
    """Print what a build takes from each form, one after another."""
    print(f"{'':24}{'seconds':>9}{'posts/s':>9}{'CPU s':>9}{'peak MB':>9}{'file MB':>9}")
    writers = form_writers(folder / "dump.jsonl", reference)
    with closing(sqlite3.connect(reference)) as source:
        posts = source.execute("SELECT COUNT(*) FROM post").fetchone()[0]
    for form in chosen or writers:
        place = folder / "form"
        place.mkdir()
        path = writers[form](place)
        seconds, processor, peak = built(path, folder / "built.db")
        with closing(sqlite3.connect(folder / "built.db")) as result:
            assert result.execute("SELECT COUNT(*) FROM post").fetchone()[0] == posts
        size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*.*")))
        print(
            f"{form:24}{seconds:9.1f}{posts / seconds:9,.0f}{processor:9.1f}{peak:9.0f}{size / 1e6:9.0f}",
            flush=True,
        )
        (folder / "built.db").unlink()
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="where some 6 KB a post are free; the system's temporary one otherwise"
    )
    parser.add_argument(
        "--live", action="store_true", help="also with the indices in place, which takes minutes a million"
    )
    parser.add_argument(
        "--forms",
        nargs="*",
        metavar="FORM",
        help="only the build, from these forms of the posts; by default all",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        reference = generate(folder / "reference.db", arguments.posts)
        with closing(sqlite3.connect(reference)) as source:
            write_dump(source, folder / "dump.jsonl")
            relations = source.execute("SELECT COUNT(*) FROM posttagrelation").fetchone()[0]
            if arguments.forms is not None:
                print(f"{arguments.posts:,} posts, {relations:,} relations", flush=True)
                time_forms(folder, reference, arguments.forms)
                return
            seconds, processor, peak = built(folder / "dump.jsonl", folder / "built.db")
            ways = {"executemany, indices after": bare(source, folder / "after.db", indices_after=True)}
            (folder / "after.db").unlink()
            if arguments.live:
                ways["executemany, indices in place"] = bare(source, folder / "live.db", indices_after=False)
        gigabytes = (folder / "dump.jsonl").stat().st_size / 1e9
    print(f"{arguments.posts:,} posts, {relations:,} relations, a dump of {gigabytes:.2f} GB")
    print(f"{'':32}{'seconds':>9}{'ratio':>8}{'CPU s':>9}{'ratio':>8}{'peak MB':>9}")
    print(f"{'hakubooru db build':32}{seconds:9.1f}{'':8}{processor:9.1f}{'':8}{peak:9.0f}")
    for way, (taken, busy) in ways.items():
        print(f"{way:32}{taken:9.1f}{taken / seconds:8.2f}{busy:9.1f}{busy / processor:8.2f}")


if __name__ == "__main__":
    main()
