"""A set of archives with a database for it, and exports of both, for tests."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

import hakubooru as hb
from booru import post_row, write
from hakubooru.export.engine import engine
from hakubooru.export.plan import Job
from hakubooru.export.run import run_export
from hakubooru.export.sinks import Sink, Writer, output_format
from hakubooru.image.convert import image_format
from hakubooru.image.folders import find_own
from hakubooru.image.sources import find_archives
from pictures import picture, write_tar

if TYPE_CHECKING:
    from hakubooru.export.run import ExportReport

RESTS = range(20)
FORMATS = ["webp", "jpg", "png"]


@dataclass
class Plain:
    """Captions that need no database."""

    word: str = "solo"

    def prepare(self, ids):
        pass

    def captioned(self, ids):
        for post_id in ids.tolist():
            yield post_id, f"post {post_id}, {self.word}, ★", {"general": 3}


def post_ids(many=20) -> list[int]:
    """Twenty or so many posts of each of twenty rests of id % 1000."""
    return [1000 * thousand + rest for rest in RESTS for thousand in range(1, many + 1)]


def write_set(folder: Path, ids: list[int] | None = None) -> Path:
    """Originals of most posts, two updates with newer and with broken pictures."""
    draw = random.Random(1)
    ids = ids or post_ids()
    original_ids = [post_id for post_id in ids if draw.random() < 0.9]
    for rest in sorted({post_id % 1000 for post_id in ids}):
        some = [post_id for post_id in original_ids if post_id % 1000 == rest]
        members = {f"{post_id}.{draw.choice(FORMATS)}": picture(post_id, "webp") for post_id in some}
        write_tar(folder / f"original/data-0{rest:03d}.tar", members)
    for date, share in [("20240101", 0.2), ("20240601", 0.1)]:
        for digit in range(10):
            some = [post_id for post_id in ids if post_id % 10 == digit and draw.random() < share]
            members = {}
            for post_id in some:
                data = picture(post_id + int(date), draw.choice(FORMATS))
                members[f"{post_id}.webp"] = data[:-9] if draw.random() < 0.2 else data
            write_tar(folder / f"updates/{date}/data-{digit}.tar", members)
    return folder


def write_database(path: Path, ids: list[int]) -> Path:
    """A database of these posts."""
    path.write_bytes(_database(tuple(sorted(ids))))
    return path


@cache
def _database(ids: tuple[int, ...]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "posts.db")
        write(path, [post_row(post_id, rating="sensitive") for post_id in ids], lambda _: ["solo"])
        return path.read_bytes()


def run(
    folder: Path,
    out: Path,
    *,
    ids=None,
    images=None,
    captions=None,
    settings=None,
    own=(),
    image=None,
    sink="folder",
    workers=1,
    start=None,
    prune=False,
    **options,
) -> ExportReport:
    """Export the database `posts.db` of a folder with its images in `images`.

    As many workers are started as are given, however few images there are; `options` are those of `run_export`.
    """
    with hb.open(folder / "posts.db") as database:
        job = Job(
            ids=np.array(ids, np.int64) if ids is not None else database.posts.to_ids(),
            out=out,
            database=database,
            archives=find_archives([folder / "images"] if images is None else images, skip=out),
            own=find_own(own, skip=out),
            shape=image_format(image),
            sink=output_format({"sink": sink}).sink_for(str(out)),
            captions=captions or Plain(),
            settings=settings or {"caption": "plain"},
            prune=prune,
        )
        return run_export(job, workers=workers, start=start or exactly(workers), **options)


def exactly(workers):
    """Starts an engine of so many workers, however little work there is."""
    return lambda work, _: engine(work, workers)


class MemorySink(Sink):
    """Keeps pairs in two dictionaries by id."""

    name = "memory"
    summary = "nothing on the disk"

    def __init__(self) -> None:
        super().__init__("")
        self.images: dict[int, bytes] = {}
        self.captions: dict[int, str] = {}

    def writer(self) -> Writer:
        return _MemoryWriter(self)

    def holds(self, pair) -> bool:
        return pair.id in self.images and pair.id in self.captions

    def clean(self) -> None:
        pass

    def remove(self, pair) -> None:
        del self.images[pair.id], self.captions[pair.id]


class _MemoryWriter(Writer):
    def __init__(self, sink: MemorySink) -> None:
        self.sink = sink
        self.paths: dict[int, str] = {}

    def image(self, number: int, path: str, data: bytes) -> None:
        self.sink.images[number] = data
        self.paths[number] = path

    def caption(self, number: int, text: str) -> str:
        self.sink.captions[number] = text
        return self.paths.pop(number)

    def __exit__(self, *exc: object) -> None:
        pass


def spoil(out):
    """One of each: what is wrong, by the file that is."""
    (out / "x001" / "1.webp").unlink()
    (out / "x002" / "2.txt").unlink()
    with (out / "x003" / "3.webp").open("ab") as file:
        file.write(b"more")
    data = bytearray((out / "x004" / "4.webp").read_bytes())
    data[-1] ^= 1
    (out / "x004" / "4.webp").write_bytes(data)
    (out / "x005" / "5.txt").write_text("something else")
    (out / "x006" / "6.png").write_bytes(b"")
    (out / "x007" / "8.webp").write_bytes(b"")
    (out / "x040").mkdir()
    (out / "x040" / "40.txt").write_text("")
    (out / "x009" / "9.npz").write_bytes(b"latents of a trainer")


def start_the_machine_anew(out):
    """Make an export look as if the machine was started anew since it was written."""
    with sqlite3.connect(out / ".hakubooru" / "journal.sqlite") as journal:
        journal.execute("UPDATE archive SET boot = 'before' WHERE boot <> ''")
    journal.close()
