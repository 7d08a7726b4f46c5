"""Images and captions in an export that belong to no pair: those of archives whose export was killed."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.export.checks import shard_of
from hakubooru.export.sinks import place
from hakubooru.export.sinks.webdataset import SHARDS
from hakubooru.image.kinds import EXTENSIONS
from hakubooru.image.own import own_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Pair
    from hakubooru.export.sinks import Sink

_KINDS: Final = (*EXTENSIONS, "txt")
_OURS: Final = re.compile(rf"x\d{{3}}/([1-9]\d{{0,17}}|0)\.({'|'.join(_KINDS)})", re.ASCII)
_OWN: Final = re.compile(rf"own/[\w-]*-[0-9a-f]{{15}}\.(?:{'|'.join(_KINDS)})", re.ASCII)
_NO_NUMBER: Final = 2**63 - 1


def remove_orphans(out: Path, pairs: Iterator[Pair], sink: Sink) -> None:
    """Remove images and captions that belong to no pair, and shards that have none.

    Args:
        out: the export's folder.
        pairs: all that there are, ascending.
        sink: how it was written.
    """
    if sink.holds_archives:
        for name in orphan_shards(out, {shard_of(pair) for pair in pairs}):
            (out / name).unlink()
        return
    ids, kinds = array("q"), bytearray()
    for pair in pairs:
        ids.append(pair.id)
        kinds.append(kind_of(pair.path))
    known, kinds_of = np.array(ids, np.int64), np.frombuffer(kinds, np.uint8)
    for name in list(orphans(out, known, kinds_of, has_captions=sink.writes_captions)):
        (out / name).unlink(missing_ok=True)


def orphan_shards(out: Path, known: set[str]) -> list[str]:
    """Shards in an export that are not among those that are known."""
    there = {f"{SHARDS}/{path.name}" for path in (out / SHARDS).glob("*.tar") if path.is_file()}
    return sorted(there - known)


def orphans(out: Path, ids: Ids, kinds: Any, *, has_captions: bool) -> Iterator[str]:
    """Images and captions in an export's subfolders that belong to no pair; other files are left alone.

    Args:
        out: the export's folder.
        ids: of its pairs, ascending.
        kinds: what each one's file is, as places in `_KINDS`.
        has_captions: whether images have captions beside them.
    """
    for folder in [*sorted(out.glob("x[0-9][0-9][0-9]")), *out.glob("own")]:
        try:
            paths = list(folder.iterdir())
        except OSError:
            continue  # where it cannot be read, each of its pairs is told
        for path in paths:
            name = f"{folder.name}/{path.name}"
            number = _number_of(name)
            if number is None:
                continue
            at = int(np.searchsorted(ids, number))
            kind = _KINDS[kinds[at]] if at < len(ids) and ids[at] == number else ""
            is_ours = kind == path.suffix[1:] or (has_captions and kind and path.suffix == ".txt")
            if not is_ours and not path.is_dir():
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
