"""`hakubooru db migrate` on a file of generation 1: seconds, memory and room.

python tests/benchmarks/migrate.py [--posts N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from typing import Self

from build import PEAK
from generate import generate

from old_generations import COMMON, COUNTS, LISTS, TAG, URLS, base36, in_list

COLUMNS = COMMON + "".join(f', "{name}" VARCHAR(255) NOT NULL' for name in URLS)
POSTS_A_COMMIT = 50_000


def write_generation_1(source: sqlite3.Connection, path: Path) -> None:
    """The posts of a file of generation 4 as generation 1, without the index of words."""
    lists = "".join(f', "{name}" TEXT NOT NULL' for name in LISTS)
    counts = "".join(f', "{name}" INTEGER NOT NULL' for name in COUNTS)
    types = dict(source.execute("SELECT id, type FROM tag"))
    texts = {tag_id: base36(tag_id) for tag_id in types}
    tags = source.execute(
        "SELECT group_concat(tag_id) FROM posttagrelation GROUP BY post_id ORDER BY post_id"
    )
    with closing(sqlite3.connect(path)) as connection:
        for statement in (f'CREATE TABLE "post" ({COLUMNS}{lists}{counts})', *TAG):
            connection.execute(statement)
        connection.executemany("INSERT INTO tag VALUES (?, ?, ?, ?)", source.execute("SELECT * FROM tag"))
        insert = f"INSERT INTO post VALUES ({', '.join('?' * (26 + 12))})"
        for row, (joined,) in zip(source.execute("SELECT * FROM post ORDER BY id"), tags, strict=True):
            by_kind: list[list[int]] = [[] for _ in range(6)]
            for tag_id in map(int, joined.split(",")):
                by_kind[0].append(tag_id)
                by_kind[1 + types[tag_id]].append(tag_id)
            values = [*row[:23], *(url or "" for url in row[23:26])]
            values += [in_list(some, texts.__getitem__) for some in by_kind]
            connection.execute(insert, values + [len(some) for some in by_kind])
        connection.commit()


class Room:
    """Watches how many bytes a folder holds at most, in a `with` statement."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            sizes = []
            for entry in self.folder.iterdir():
                try:
                    sizes.append(entry.stat().st_size)
                except FileNotFoundError:
                    continue
            self.most = max(self.most, sum(sizes))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="where some 10 KB a post are free; the system's temporary one otherwise"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        (folder := Path(name) / "old").mkdir()
        reference = generate(Path(name) / "reference.db", arguments.posts)
        with closing(sqlite3.connect(reference)) as source:
            write_generation_1(source, folder / "old.db")
        reference.unlink()
        size_before = (folder / "old.db").stat().st_size
        command = [
            sys.executable,
            "-c",
            "from hakubooru_cli.main import main; main()",
            "db",
            "migrate",
            folder / "old.db",
        ]
        start = time.perf_counter()
        with Room(folder) as room:
            process = subprocess.run(
                [sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True
            )
        seconds = time.perf_counter() - start
        size_after = (folder / "old.db").stat().st_size
    print(
        f"{arguments.posts:,} posts of generation 1, {size_before / 1e6:,.0f} MB before, {size_after / 1e6:,.0f} MB after"
    )
    print(
        f"{seconds:.1f} s, {arguments.posts / seconds:,.0f} posts/s, peak memory {float(process.stdout.split()[-1]):.0f} MB, "
    )
    print(
        f"room taken beyond the file {(room.most - size_before) / 1e6:,.0f} MB, {(room.most - size_before) / size_before:.2f} x the file"
    )


if __name__ == "__main__":
    main()
