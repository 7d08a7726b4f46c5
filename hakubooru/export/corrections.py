"""Captions of an export that were corrected by hand: they stay, also where their image is exported again."""

from __future__ import annotations

import hashlib
import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.export.manifest import MANIFEST
from hakubooru.export.sinks import STATE, beside
from hakubooru.export.sinks.listed import ListedSink
from hakubooru.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.export.journal import Journal
    from hakubooru.export.records import Pair
    from hakubooru.export.sinks import Sink

_LIST: Final = "list"
"""Under this name the hash of the list of captions is on record; two while it is replaced."""
_ASIDE: Final = "corrections"
"""Folder below the export's state where captions wait for their image to be exported again."""


def is_correction(pair: Pair, data: bytes | None) -> bool:
    """Whether a caption file has another text than was written; one that is empty or blank is damaged.

    Args:
        pair: the record.
        data: the file's bytes; None where there is no file.
    """
    return data is not None and bool(data.strip(b"\0")) and data != pair.caption.encode()


def finished(out: Path) -> int:
    """When the last export into a folder ended, in nanoseconds, as the system tells times of files.

    Later than any time where none has ended yet.
    """
    try:
        return (out / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 2**63 - 1


def is_corrected(out: Path, pair: Pair, since: int) -> bool:
    """Whether the caption file of a pair has another size than was written, or another text and a later time.

    Args:
        out: the export's folder.
        pair: the record.
        since: the time, as `finished` gives it.
    """
    path = f"{out}/{beside(pair.path)}"
    status = os.stat(path)  # noqa: PTH116 - Path costs more than the call
    if status.st_size == len(pair.caption.encode()) and status.st_mtime_ns <= since:
        return False
    return is_correction(pair, Path(path).read_bytes())


def set_aside(out: Path, pairs: Iterable[Pair]) -> int:
    """Move the corrected captions of pairs that are exported again out of the way; gives how many there are."""
    count = 0
    folder = out / STATE / _ASIDE
    for pair in pairs:
        path = out / beside(pair.path)
        data = path.read_bytes() if path.is_file() else None
        if is_correction(pair, data):
            folder.mkdir(exist_ok=True)
            os.replace(path, folder / f"{pair.id}.txt")  # noqa: PTH105 - Path.replace, said as what it is
            count += 1
    return count


def put_back(out: Path, journal: Journal) -> None:
    """Put captions that were set aside beside their images; those without an image wait on."""
    folder = out / STATE / _ASIDE
    if not folder.is_dir():
        return
    ids = np.array(sorted(int(path.stem) for path in folder.iterdir()), np.int64)
    for pair in journal.pairs_of(ids):
        os.replace(folder / f"{pair.id}.txt", out / beside(pair.path))  # noqa: PTH105 - as above


def keep_list(out: Path, sink: Sink, journal: Journal) -> str:
    """Move a list of captions that was changed by hand out of the way of the one that is written anew.

    Returns:
        its new name; "" where the list is what the last export wrote, or there is none.
    """
    if not isinstance(sink, ListedSink):
        return ""
    written, digest = journal.recall(_LIST), _digest(out / sink.file)
    if not written or not digest or digest in written.split():
        return ""
    path = out / sink.file
    edited = path.with_name(f"{path.stem}.edited{path.suffix}")
    os.replace(path, edited)  # noqa: PTH105 - as above
    return edited.name


def finish(out: Path, sink: Sink, journal: Journal) -> None:
    """Have a sink write what tells of all pairs, and take down what its list is, to know it again."""
    pairs = chain(journal.pairs(0), journal.pairs(high=-1))
    if not isinstance(sink, ListedSink):
        sink.finish(pairs)
        return
    with replacing(out / sink.file) as part:
        sink.write(part, pairs)
        digest = _digest(part)
        # A kill before or after the list takes its place leaves one that is known.
        journal.remember(_LIST, f"{journal.recall(_LIST) or ''} {digest}")
    journal.remember(_LIST, digest)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
