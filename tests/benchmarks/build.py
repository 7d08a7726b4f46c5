"""`hakubooru db build` beside a bare `executemany` of the same rows, and from every form of the same posts.

    python tests/benchmarks/build.py [--posts N] [--folder DIR] [--forms [FORM …]]

With `--forms`, the same posts are read as JSON lines in every compression, as objects in a tar and a folder, as tables of every
kind, and as KBlueLeaf's three tables. The bare one is timed without reading the rows: into the published tables with their indices in place, and into
the tables alone with the indices made afterwards. `db build` is a process of its own, parsing and all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from forms import form_writers
from generate import POST_ROW, RELATION_ROW, generate

import hakubooru as hb
from hakubooru.store.schema import RATINGS
from hakubooru.store.sites import DANBOORU

if TYPE_CHECKING:
    from collections.abc import Collection

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
            start, busy = time.perf_counter(), time.process_time()
            connection.execute("BEGIN")
            connection.executemany(POST_ROW, some)
            connection.executemany(RELATION_ROW, pairs)
            connection.execute("COMMIT")
            seconds += time.perf_counter() - start
            processor += time.process_time() - busy
        start, busy = time.perf_counter(), time.process_time()
        for _, sql in indices if indices_after else ():
            connection.execute(sql)
        return seconds + time.perf_counter() - start, processor + time.process_time() - busy


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
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True
    )
    processor, peak = map(float, process.stdout.split()[-2:])
    return time.perf_counter() - start, processor, peak


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
    for way, (way_seconds, busy) in ways.items():
        print(f"{way:32}{way_seconds:9.1f}{way_seconds / seconds:8.2f}{busy:9.1f}{busy / processor:8.2f}")


if __name__ == "__main__":
    main()
