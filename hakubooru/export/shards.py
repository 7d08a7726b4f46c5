"""Bringing pairs into shards: which pair lies in which shard follows from the pairs alone, not from how they came.

Pairs are ordered by id % 1000 and then by id, own images behind; a shard ends with the image by which it reaches a number
of images or bytes. In the archives of the published sets pairs lie in that order, so that the spool is read from file to
file, and each file of it goes when its last pair has a place.

    spool ──cut──▶ shards/00000.tar …        shards that change ──renamed──▶ spool

A cut can be killed at any time: the record says of each pair which file it lies in, a shard takes its name when it is on
the disk, and what a pair came from goes after the record knows its new place.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from hakubooru.export.sinks.base import STATE
from hakubooru.export.sinks.webdataset import SHARD, SHARDS, SPOOL, ShardFile, file_of, shard_name
from hakubooru.image.tar import BLOCK, DamagedTarError, parse_header
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hakubooru.export.journal import Journal
    from hakubooru.export.sinks import WebDatasetSink

_MOVES: Final = "moves"
"""Under this name it is on record which shards are renamed, to which files of the spool."""


class Row(NamedTuple):
    """What a cut needs to know of a pair."""

    id: int
    path: str
    bytes: int
    """Of the image."""
    caption_bytes: int

    @property
    def member(self) -> str:
        """The name of its image in a shard."""
        return self.path.rpartition("/")[2]


def finish_moves(out: Path, journal: Journal) -> None:
    """Rename the shards that a run which was killed had on record as renamed."""
    for shard, file in json.loads(journal.recall(_MOVES) or "{}").items():
        if not (out / file).exists() and (out / shard).exists():
            os.replace(out / shard, out / file)  # noqa: PTH105 - Path.replace, said as what it is
    # Brought back by a power cut, the record would take a new shard for the old one.
    with journal.durable():
        journal.remember(_MOVES, "{}")


def cut(out: Path, journal: Journal, sink: WebDatasetSink) -> list[int]:
    """Bring all pairs on record into shards; shards that stay as they are are not touched.

    Returns:
        pairs whose image is lost, in a shard that was damaged: they are to be exported again, and cut again.
    """
    change = _Change(out, journal, sink)
    change.free()
    finish_moves(out, journal)
    if not change.lost:
        change.write()
    if not change.lost:
        change.remove_rest()
        journal.trust_all()  # shards are on the disk
    return change.lost


class _Change:
    """From the files that pairs lie in to the shards that they belong into."""

    def __init__(self, out: Path, journal: Journal, sink: WebDatasetSink) -> None:
        self.out = out
        self.journal = journal
        self.sink = sink
        self.unchanged: set[int] = set()
        """Numbers of shards that stay as they are."""
        self.lost: list[int] = []
        """Pairs whose image is not where the record says."""
        self.total = 0
        self.waiting: Counter[str] = Counter()
        """How many pairs each file of the spool still has to give."""

    def free(self) -> None:
        """Put on record that shards which change are files of the spool, whose names no new shard takes."""
        moves: dict[str, str] = {}
        with self.journal.durable():
            self.journal.relocate(self._freed(moves))
            self.journal.remember(_MOVES, json.dumps(moves))

    def write(self) -> None:
        """Write the shards that change, one after the other."""
        with _Images(self.out) as images, progress(total=self.total, unit=" shards") as bar:
            for number, rows in enumerate(self._groups()):
                if number not in self.unchanged:
                    self._write(number, rows, images)
                if self.lost:
                    return
                bar.update()

    def remove_rest(self) -> None:
        """Remove shards that have no pair any more, and what is left in the spool."""
        names = {shard_name(number) for number in range(self.total)}
        for path in (self.out / SHARDS).iterdir():
            name = f"{SHARDS}/{path.name}"
            if SHARD.fullmatch(name) and name not in names:
                path.unlink()
        for path in (self.out / SPOOL).iterdir():
            path.unlink()

    def _groups(self) -> Iterator[list[Row]]:
        """The pairs of each shard."""
        rows: list[Row] = []
        size = 0
        for row in self.journal.in_shard_order():
            rows.append(Row(*row))
            size += rows[-1].bytes
            if len(rows) >= self.sink.images or size >= self.sink.bytes:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def _freed(self, moves: dict[str, str]) -> Iterator[tuple[str, int]]:
        """New paths and ids of pairs whose shards change; the shards' old and new names come into `moves`."""
        places: dict[str, int] = {}
        file = ""
        for number, rows in enumerate(self._groups()):
            self.total += 1
            if self._is_unchanged(number, rows):
                self.unchanged.add(number)
                continue
            for row in rows:
                path = row.path
                if path.startswith(f"{SHARDS}/"):
                    if file != file_of(path):
                        file = file_of(path)
                        places = _places(self.out / file)
                    spool = moves.setdefault(file, f"{SPOOL}/{uuid.uuid4().hex}.tar")
                    path = f"{spool}/{places.get(row.member, 0)}/{row.member}"
                    if row.member not in places:
                        self.lost.append(row.id)
                    yield path, row.id
                self.waiting[file_of(path)] += 1

    def _is_unchanged(self, number: int, rows: list[Row]) -> bool:
        """Whether a shard has these pairs and no other: by their record, and its size."""
        name = shard_name(number)
        if any(row.path != f"{name}/{row.member}" for row in rows):
            return False
        size = 2 * BLOCK + sum(_in_blocks(row.bytes) + _in_blocks(row.caption_bytes) for row in rows)
        path = self.out / name
        return path.is_file() and path.stat().st_size == size

    def _write(self, number: int, rows: list[Row], images: _Images) -> None:
        name = shard_name(number)
        ids = np.array([row.id for row in rows], np.int64)
        captions = {pair.id: pair.caption for pair in self.journal.pairs_of(ids)}
        part = self.out / STATE / "part" / Path(name).name
        with ShardFile(part) as file:
            for row in rows:
                image = images.read(row)
                if image is None:
                    self.lost.append(row.id)
                    continue
                file.add(row.member, image, captions[row.id].encode())
            file.end(is_durable=True)
        if self.lost:
            return
        os.replace(part, self.out / name)  # noqa: PTH105 - as above
        with self.journal.change():
            self.journal.relocate((f"{name}/{row.member}", row.id) for row in rows)
        for row in rows:
            file_name = file_of(row.path)
            self.waiting[file_name] -= 1
            if not self.waiting[file_name]:
                images.close(file_name)
                (self.out / file_name).unlink(missing_ok=True)


class _Images:
    """Reads images out of files of the spool, of which one is open; used in a `with` statement."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.name = ""
        self.file: BinaryIO | None = None

    def read(self, row: Row) -> bytes | None:
        """The image of a pair; None where it is not there."""
        name = file_of(row.path)
        if name != self.name or self.file is None:
            self.close(self.name)
            self.file = (self.out / name).open("rb")
            self.name = name
        place = int(row.path.removeprefix(f"{name}/").partition("/")[0])
        if not place:
            return None
        self.file.seek(place - BLOCK)
        if not _is_of(self.file.read(BLOCK), row):
            return None
        data = self.file.read(row.bytes)
        return data if len(data) == row.bytes else None

    def close(self, name: str) -> None:
        """Close the file, if it has that name."""
        if self.file is not None and name == self.name:
            self.file.close()
            self.file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close(self.name)


def _is_of(header: bytes, row: Row) -> bool:
    try:
        member = parse_header(header, 0, 2**63)
    except DamagedTarError:
        return False
    return member.name == row.member and member.size == row.bytes


def _places(path: Path) -> dict[str, int]:
    """Where the members of a shard begin, by name, as far as it can be read."""
    places: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            at = 0
            while at < end:
                file.seek(at)
                member = parse_header(file.read(BLOCK), at, end)
                places[member.name] = at + BLOCK
                at += _in_blocks(member.size)
    except (DamagedTarError, OSError):
        pass
    return places


def _in_blocks(size: int) -> int:
    """Bytes that a member of that size takes in a tar, its header included."""
    return BLOCK + size + -size % BLOCK
