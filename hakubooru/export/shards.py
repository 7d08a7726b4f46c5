"""Moving pairs into shards; which pair lies in which shard depends on the pairs alone, not on the order of the work.

Pairs are sorted by id % 1000, then by id; own images come last. A shard ends with the image by which it reaches the
number of images or of bytes. In the archives of many published sets, pairs lie in this order. Then a file of the spool
that one process wrote is a shard already, and is renamed. Otherwise the spool is read from file to file, and each of its
files is deleted when its last pair has moved.

    spool ──cut, or renamed──▶ shards/00000.tar …        shards that change ──renamed──▶ spool

A cut can be killed at any time. The journal says for each pair in which file it lies. A shard gets its name when it is
on the disk. A file of the spool is deleted after the journal has the new places of its pairs. Renames are recorded with
these places, before they are made.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from hakubooru.export.pairs import STATE, beside
from hakubooru.image.tar import BLOCK, DamagedTarError, file_header, parse_header
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hakubooru.export.journal import Journal
    from hakubooru.export.sinks import Sink

SHARDS: Final = "shards"
"""Folder of the shards in an export."""
SPOOL: Final = f"{STATE}/spool"
"""Folder of files that hold pairs until they move into shards."""
SHARD: Final = re.compile(rf"{SHARDS}/(?:\d{{5,}}|[\w-]*-[0-9a-f]{{8}}-\d{{3,}})\.tar", re.ASCII)
"""Matches the paths of shards; the second form is that of earlier versions."""
_TAR: Final = ".tar"
_MOVES: Final = "moves"
"""Name of the journal's value that says which shards are renamed to which files of the spool, or the other way."""


class Row(NamedTuple):
    """The columns of a pair that a cut needs."""

    id: int
    """The post's id, or the number of an own image."""
    path: str
    """The pair's path, as the journal has it."""
    bytes: int
    """Bytes of the image."""
    caption_bytes: int
    """Bytes of the caption."""

    @property
    def member(self) -> str:
        """The name of the image in a shard."""
        return self.path.rpartition("/")[2]


class ShardFile:
    """Writes pairs to a tar, one after the other; used in a `with` statement.

    Args:
        path: the file.
        size: bytes at its beginning that stay, before the first pair is written.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._file = path.open("r+b" if size else "wb", buffering=0)
        self._file.seek(size)
        self.size = size

    def add(self, member: str, image: bytes, caption: bytes) -> int:
        """Write a pair; return the offset of the image's first byte."""
        at = self.size + BLOCK
        self._write(*_member(member, image), *_member(beside(member), caption))
        return at

    def end(self) -> None:
        """Write the end mark, and wait until the file has reached the disk."""
        self._write(bytes(2 * BLOCK))
        os.fsync(self._file.fileno())

    def cut_off(self, size: int) -> None:
        """Remove all but the first bytes."""
        self._file.truncate(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def _write(self, *parts: bytes) -> None:
        total = sum(map(len, parts))
        self.size += total
        if hasattr(os, "writev"):
            written = os.writev(self._file.fileno(), parts)
            if written == total:
                return
        else:
            written = 0
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[self._file.write(rest) :]


def _member(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what a member takes in a tar: header, contents and padding."""
    return file_header(name, len(data)), data, bytes(-len(data) % BLOCK)


def shard_name(number: int) -> str:
    """Return the path of a shard by its number."""
    return f"{SHARDS}/{number:05d}{_TAR}"


def file_of(path: str) -> str:
    """Return the file that a pair lies in, a shard or a file of the spool, by the pair's path."""
    return path[: path.index(f"{_TAR}/") + len(_TAR)]


def finish_moves(out: Path, journal: Journal) -> None:
    """Finish the renames that were recorded, by this run or a killed one."""
    for old, new in json.loads(journal.settings.get(_MOVES) or "{}").items():
        if not (out / new).exists() and (out / old).exists():
            os.replace(out / old, out / new)  # noqa: PTH105 - Path.replace reads as a change of text
    # Durable: if a power cut brought the old moves back, the next run would take a new shard for the old one.
    with journal.change(durable=True):
        journal.remember(_MOVES, "{}")


def cut(out: Path, journal: Journal, sink: Sink) -> list[int]:
    """Move all pairs of the journal into shards; shards that stay the same are not touched.

    Returns:
        the pairs whose image is lost, because a shard was damaged. Export them again, then cut again.
    """
    change = _Change(out, journal, sink)
    change.free()
    finish_moves(out, journal)
    if not change.lost:
        change.rename_whole()
        finish_moves(out, journal)
        change.write()
    if not change.lost:
        change.remove_rest()
        journal.trust_all()  # each shard was flushed to the disk when it was written
    return change.lost


class _Change:
    """Moves pairs from the files that they lie in to the shards that they belong to."""

    def __init__(self, out: Path, journal: Journal, sink: Sink) -> None:
        self.out = out
        self.journal = journal
        self.sink = sink
        self.unchanged: set[int] = set()
        """Numbers of shards that stay the same."""
        self.lost: list[int] = []
        """Pairs whose image is not where the journal says."""
        self.total = 0
        """How many shards there will be."""
        self.whole: dict[int, list[Row]] = {}
        """The pairs of shards that are files of the spool already, if these hold no other pair."""
        self.waiting: Counter[str] = Counter()
        """How many pairs of each file of the spool have not moved yet."""

    def free(self) -> None:
        """Record that the shards which change become files of the spool, so that their names are free."""
        moves: dict[str, str] = {}
        with self.journal.change(durable=True):
            self.journal.relocate(self._freed(moves))
            self.journal.remember(_MOVES, json.dumps(moves))

    def rename_whole(self) -> None:
        """End the files of the spool that are shards already, and record that they become shards."""
        moves: dict[str, str] = {}
        with self.journal.change(durable=True):
            for number, rows in self.whole.items():
                file, shard = file_of(rows[0].path), shard_name(number)
                if self.waiting[file] > len(rows) or not _end(self.out / file, _bytes_of(rows)):
                    continue
                (self.out / shard).unlink(
                    missing_ok=True
                )  # a killed cut may have left one that is not recorded
                moves[file] = shard
                self.unchanged.add(number)
            self.journal.move_files(moves)
            self.journal.remember(_MOVES, json.dumps(moves))
        self.whole.clear()

    def write(self) -> None:
        """Write the shards that change, one after the other."""
        if len(self.unchanged) == self.total:
            return
        with _Images(self.out) as images, progress(total=self.total, unit=" shards") as bar:
            for number, rows in enumerate(self._groups()):
                if number not in self.unchanged:
                    self._write(number, rows, images)
                if self.lost:
                    return
                bar.update()

    def remove_rest(self) -> None:
        """Remove shards without pairs, and the files that remain in the spool."""
        names = {shard_name(number) for number in range(self.total)}
        for path in (self.out / SHARDS).iterdir():
            name = f"{SHARDS}/{path.name}"
            if SHARD.fullmatch(name) and name not in names:
                path.unlink()
        for path in (self.out / SPOOL).iterdir():
            path.unlink()

    def _groups(self) -> Iterator[list[Row]]:
        """Yield the pairs of each shard, in order."""
        rows: list[Row] = []
        size = 0
        for row in self.journal.in_shard_order():
            rows.append(Row(*row))
            size += rows[-1].bytes
            if len(rows) >= self.sink.shard_images or size >= self.sink.shard_bytes:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def _freed(self, moves: dict[str, str]) -> Iterator[tuple[str, int]]:
        """Yield new paths and ids of pairs whose shards change; add the shards' old and new names to `moves`."""
        places: dict[str, int] = {}
        file = ""
        for number, rows in enumerate(self._groups()):
            self.total += 1
            if self._is_unchanged(number, rows):
                self.unchanged.add(number)
                continue
            if _is_whole(rows):
                self.whole[number] = rows
                self.waiting[file_of(rows[0].path)] += len(rows)
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
        """Return whether a shard has these pairs and no other, by the journal and by the file's size."""
        name = shard_name(number)
        if any(row.path != f"{name}/{row.member}" for row in rows):
            return False
        path = self.out / name
        return path.is_file() and path.stat().st_size == _bytes_of(rows) + 2 * BLOCK

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
            file.end()
        if self.lost:
            return
        os.replace(part, self.out / name)  # noqa: PTH105 - Path.replace reads as a change of text
        with self.journal.change():
            self.journal.relocate((f"{name}/{row.member}", row.id) for row in rows)
        for row in rows:
            file_name = file_of(row.path)
            self.waiting[file_name] -= 1
            if not self.waiting[file_name]:
                images.close(file_name)
                (self.out / file_name).unlink(missing_ok=True)


class _Images:
    """Reads images from files of the spool, one of which is open at a time; used in a `with` statement."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.name = ""
        self.file: BinaryIO | None = None

    def read(self, row: Row) -> bytes | None:
        """Return the image of a pair; None if it is not there."""
        name = file_of(row.path)
        if name != self.name or self.file is None:
            self.close(self.name)
            self.file = (self.out / name).open("rb", buffering=0)
            self.name = name
        place = int(row.path.removeprefix(f"{name}/").partition("/")[0])
        if not place:
            return None
        self.file.seek(place - BLOCK)
        data = self.file.read(BLOCK + row.bytes)
        return data[BLOCK:] if len(data) == BLOCK + row.bytes and _is_of(data[:BLOCK], row) else None

    def close(self, name: str) -> None:
        """Close the open file if it has that name."""
        if self.file is not None and name == self.name:
            self.file.close()
            self.file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close(self.name)


def _is_whole(rows: list[Row]) -> bool:
    """Return whether pairs follow each other, in order, from the beginning of one file of the spool."""
    file = file_of(rows[0].path)
    at = BLOCK
    for row in rows:
        if row.path != f"{file}/{at}/{row.member}":
            return False
        at += _in_blocks(row.bytes) + _in_blocks(row.caption_bytes)
    return True


def _bytes_of(rows: list[Row]) -> int:
    """Return the bytes of a shard with these pairs, without its end mark."""
    return sum(_in_blocks(row.bytes) + _in_blocks(row.caption_bytes) for row in rows)


def _end(path: Path, size: int) -> bool:
    """End a file of the spool after some bytes; return False if it has fewer."""
    if not path.is_file() or path.stat().st_size < size:
        return False
    with ShardFile(path, size) as file:
        file.cut_off(size)
        file.end()
    return True


def _is_of(header: bytes, row: Row) -> bool:
    try:
        member = parse_header(header, 0, 2**63)
    except DamagedTarError:
        return False
    return member.name == row.member and member.size == row.bytes


def _places(path: Path) -> dict[str, int]:
    """Return where the contents of a shard's members begin, by name, as far as the shard can be read."""
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
    """Return the bytes that a member of some size takes in a tar, header and padding included."""
    return BLOCK + size + -size % BLOCK
