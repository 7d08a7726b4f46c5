"""Finding files in an export that belong to no pair: left by a killed export, or put there by others."""

from __future__ import annotations

import os
import re
from array import array
from enum import Enum, auto
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.export.checks import shard_of
from hakubooru.export.pairs import PREFIXES, STATE, own_number, place
from hakubooru.export.shards import SHARD, SHARDS
from hakubooru.image.kinds import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.pairs import Pair
    from hakubooru.export.sinks import Sink

_SUFFIXES: Final = (*EXTENSIONS, "txt")
_KINDS: Final = tuple(product(PREFIXES, _SUFFIXES))
_OURS: Final = re.compile(
    rf"x\d{{3}}/({'|'.join(PREFIXES)})([1-9]\d{{0,17}}|0)\.({'|'.join(_SUFFIXES)})", re.ASCII
)
_OWN: Final = re.compile(rf"own/[\w-]*-[0-9a-f]{{15}}\.(?:{'|'.join(_SUFFIXES)})", re.ASCII)
_NO_NUMBER: Final = 2**63 - 1
_TRAINED_ON: Final = re.compile(
    r".*\.(?:jpe?g|jpe|jfif|png|webp|gif|avif|bmp|tiff?|heic|jxl|txt|caption|tar)|metadata\.(?:jsonl|csv|parquet)",
    re.IGNORECASE | re.DOTALL,
)
"""Names that trainers read as images, captions, shards or lists of captions."""
_OF_THE_SYSTEM: Final = re.compile(r"\..*|thumbs\.db|desktop\.ini", re.IGNORECASE | re.DOTALL)
"""Names of hidden files that systems and programs leave in folders."""


class Place(Enum):
    """The role of a file in an export."""

    PAIR = auto()
    """The file belongs to a pair."""
    ORPHAN = auto()
    """The file is named as an export names files, but belongs to no pair."""
    STRAY = auto()
    """The file is an image, a caption, a shard or a list of captions that no export writes there."""
    OTHER = auto()
    """The file is of a kind that trainers do not read."""


def place_in_pairs(name: str, ids: Ids, kinds: Any, *, has_captions: bool) -> Place | None:
    """Return the role of a file of an export that writes pairs of files; None if no export uses such a name.

    Args:
        name: the file's path below the export's folder.
        ids: the pairs' ids, ascending.
        kinds: the kind of each pair's file, as `kind_of` gives it.
        has_captions: whether images have captions beside them.
    """
    number = _number_of(name)
    if number is None:
        return None
    at = int(np.searchsorted(ids, number))
    if at == len(ids) or ids[at] != number:
        return Place.ORPHAN
    prefix, suffix = _KINDS[kinds[at]]
    suffixes = (suffix, "txt") if has_captions else (suffix,)
    return Place.PAIR if _KINDS[kind_of(name)] in product([prefix], suffixes) else Place.ORPHAN


def place_in_shards(name: str, shards: Collection[str]) -> Place | None:
    """Return the role of a file of an export that writes these shards; None if no export uses such a name."""
    if name in shards:
        return Place.PAIR
    return Place.ORPHAN if SHARD.fullmatch(name) else None


def remove_orphans(out: Path, pairs: Iterator[Pair], sink: Sink) -> None:
    """Remove images and captions that belong to no pair, and shards without pairs.

    Args:
        out: the export's folder.
        pairs: all pairs of the export, ascending.
        sink: the sink that the export was written to.
    """
    place_of: Callable[[str], Place | None]
    if sink.has_shards:
        place_of = partial(place_in_shards, shards={shard_of(pair) for pair in pairs})
    else:
        ids, kinds = array("q"), bytearray()
        for pair in pairs:
            ids.append(pair.id)
            kinds.append(kind_of(pair.path))
        place_of = partial(
            place_in_pairs,
            ids=np.array(ids, np.int64),
            kinds=np.frombuffer(kinds, np.uint8),
            has_captions=sink.writes_captions,
        )
    folders = [out / SHARDS, out / "own", *out.glob("x[0-9][0-9][0-9]")]
    for folder in folders:
        for name in list(_below(str(folder), f"{folder.name}/")):
            if place_of(name) is Place.ORPHAN:
                (out / name).unlink(missing_ok=True)


def unknown_files(
    out: Path, place_of: Callable[[str], Place | None], known: Collection[str]
) -> Iterator[tuple[str, Place]]:
    """Yield the files in an export, at any depth, that belong to no pair, with their roles.

    Files of the system, and names that begin with a dot, are skipped.

    Args:
        out: the export's folder.
        place_of: gives the role of a file by its path; None for a file of another name than an export uses.
        known: further files of the export, by path.
    """
    for name in _below(str(out), ""):
        if name in known:
            continue
        place = place_of(name)
        if place is None:
            place = Place.STRAY if _TRAINED_ON.fullmatch(name.rpartition("/")[2]) else Place.OTHER
        if place is not Place.PAIR:
            yield name, place


def _below(folder: str, path: str) -> Iterator[str]:
    """Yield the files in a folder, at any depth, as `path` and their path below it; links to folders are files."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # the check of the pairs reports each file in a folder that cannot be read
    for entry in entries:
        name = path + entry.name
        if entry.is_dir(follow_symlinks=False):
            if name != STATE and not entry.name.startswith("."):
                yield from _below(entry.path, f"{name}/")
        elif not _OF_THE_SYSTEM.fullmatch(entry.name):
            yield name


def _number_of(name: str) -> int | None:
    """Return the number of the pair that a file belongs to, by its path; None if no export uses such a path."""
    if _OWN.fullmatch(name):
        return own_number(name)
    matched = _OURS.fullmatch(name)
    if matched is None:
        return None
    prefix, number, suffix = matched[1], int(matched[2]), matched[3]
    # A post in the wrong folder is an orphan: it gets a number that no pair has.
    return number if place(number, suffix, prefix) == name else _NO_NUMBER


def kind_of(path: str) -> int:
    """Return the kind of a pair's file, a small number, by its path: the site that its name says, and its extension."""
    matched = _OURS.fullmatch(path)
    return _KINDS.index((matched[1] if matched else "", path.rpartition(".")[2]))
