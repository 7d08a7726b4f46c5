"""Files in an export that belong to no pair: of archives whose export was killed, or from elsewhere."""

from __future__ import annotations

import os
import re
from array import array
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from hakubooru.export.checks import shard_of
from hakubooru.export.sinks import STATE, place
from hakubooru.export.sinks.webdataset import SHARD, SHARDS
from hakubooru.image.kinds import EXTENSIONS
from hakubooru.image.own import own_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Pair
    from hakubooru.export.sinks import Sink

_KINDS: Final = (*EXTENSIONS, "txt")
_OURS: Final = re.compile(rf"x\d{{3}}/([1-9]\d{{0,17}}|0)\.({'|'.join(_KINDS)})", re.ASCII)
_OWN: Final = re.compile(rf"own/[\w-]*-[0-9a-f]{{15}}\.(?:{'|'.join(_KINDS)})", re.ASCII)
_NO_NUMBER: Final = 2**63 - 1
_TRAINED_ON: Final = re.compile(
    r".*\.(?:jpe?g|jpe|jfif|png|webp|gif|avif|bmp|tiff?|heic|jxl|txt|caption|tar)|metadata\.(?:jsonl|csv|parquet)",
    re.IGNORECASE | re.DOTALL,
)
"""Names of what trainers take for images, captions, shards or lists of captions."""
_OF_THE_SYSTEM: Final = re.compile(r"\..*|thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL)
"""Names of what systems and programs leave in folders, unseen."""


class Place(Enum):
    """What a file is to an export."""

    PAIR = auto()
    """A pair's."""
    ORPHAN = auto()
    """Named as an export names its files, and no pair's."""
    STRAY = auto()
    """An image, a caption, a shard or a list that no export writes there."""
    OTHER = auto()
    """None that is trained on."""


class Files(Protocol):
    """Knows the files that an export wrote."""

    def place(self, name: str) -> Place | None:
        """What a file is, by its path below the export's folder; None where no export names one so."""
        ...


class PairFiles:
    """Knows the files of pairs."""

    def __init__(self, ids: Ids, kinds: Any, *, has_captions: bool) -> None:
        """Take what is known.

        Args:
            ids: of the pairs, ascending.
            kinds: what each one's file is, as places in `_KINDS`.
            has_captions: whether images have captions beside them.
        """
        self.ids = ids
        self.kinds = kinds
        self.has_captions = has_captions

    def place(self, name: str) -> Place | None:
        """What a file is."""
        number = _number_of(name)
        if number is None:
            return None
        at = int(np.searchsorted(self.ids, number))
        kind = _KINDS[self.kinds[at]] if at < len(self.ids) and self.ids[at] == number else ""
        suffix = name.rpartition(".")[2]
        is_ours = kind == suffix or (self.has_captions and kind and suffix == "txt")
        return Place.PAIR if is_ours else Place.ORPHAN


class Shards:
    """Knows shards."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def place(self, name: str) -> Place | None:
        """What a file is."""
        if name in self.names:
            return Place.PAIR
        return Place.ORPHAN if SHARD.fullmatch(name) else None


def remove_orphans(out: Path, pairs: Iterator[Pair], sink: Sink) -> None:
    """Remove images and captions that belong to no pair, and shards that have none.

    Args:
        out: the export's folder.
        pairs: all that there are, ascending.
        sink: how it was written.
    """
    files: Files
    if sink.has_shards:
        files = Shards({shard_of(pair) for pair in pairs})
    else:
        ids, kinds = array("q"), bytearray()
        for pair in pairs:
            ids.append(pair.id)
            kinds.append(kind_of(pair.path))
        files = PairFiles(
            np.array(ids, np.int64), np.frombuffer(kinds, np.uint8), has_captions=sink.writes_captions
        )
    folders = [out / SHARDS, out / "own", *out.glob("x[0-9][0-9][0-9]")]
    for folder in folders:
        for name in list(_below(str(folder), f"{folder.name}/")):
            if files.place(name) is Place.ORPHAN:
                (out / name).unlink(missing_ok=True)


def unknown_files(out: Path, files: Files, known: Collection[str]) -> Iterator[tuple[str, Place]]:
    """Files in an export, in any folder, that are no pair's; what systems leave, and names with a dot, are passed over.

    Args:
        out: the export's folder.
        files: know the pairs'.
        known: further files of the export, by path.
    """
    for name in _below(str(out), ""):
        if name in known:
            continue
        place = files.place(name)
        if place is None:
            place = Place.STRAY if _TRAINED_ON.fullmatch(name.rpartition("/")[2]) else Place.OTHER
        if place is not Place.PAIR:
            yield name, place


def _below(folder: str, path: str) -> Iterator[str]:
    """The files at and below a folder, as `path` and what follows; links to folders are files."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # where it cannot be read, each of its pairs is told
    for entry in entries:
        name = path + entry.name
        if entry.is_dir(follow_symlinks=False):
            if name != STATE and not entry.name.startswith("."):
                yield from _below(entry.path, f"{name}/")
        elif not _OF_THE_SYSTEM.fullmatch(entry.name):
            yield name


def _number_of(name: str) -> int | None:
    """The number of the pair that a file belongs to, by its place; None for a file that is none of an export's."""
    if _OWN.fullmatch(name):
        return own_number(name)
    matched = _OURS.fullmatch(name)
    if matched is None:
        return None
    number = int(matched[1])
    # Of a post that does not belong into the folder no number is known.
    return number if place(number, matched[2]) == name else _NO_NUMBER


def kind_of(path: str) -> int:
    """What a pair's file is, by its extension: a small number."""
    return _KINDS.index(path.rpartition(".")[2])
