"""Keeping captions that were corrected by hand, even if their image is exported again."""

from __future__ import annotations

import hashlib
import os
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.export.manifest import MANIFEST
from hakubooru.export.pairs import STATE, beside
from hakubooru.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.export.journal import Journal
    from hakubooru.export.pairs import Pair
    from hakubooru.export.sinks import Sink

_LIST: Final = "list"
"""Name of the journal's value that holds the hash of the list of captions; two hashes while the list is replaced."""
_ASIDE: Final = "corrections"
"""Folder below the export's state where corrected captions wait until their image is exported again, as `ID.txt`."""


def is_correction(pair: Pair, data: bytes | None) -> bool:
    """Return whether a caption file has another text than was written; an empty file, or one of zeros, is damaged.

    Args:
        pair: the pair in the journal.
        data: the file's bytes; None if there is no file.
    """
    return data is not None and bool(data.strip(b"\0")) and data != pair.caption.encode()


def finished(out: Path) -> int:
    """Return when the last export into a folder ended, in nanoseconds of the system's time of files.

    If none has ended yet, the result is later than any time.
    """
    try:
        return (out / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 2**63 - 1


def is_corrected(out: Path, pair: Pair, since: int) -> bool:
    """Return whether the caption file of a pair was corrected by hand.

    The text is compared only if the file's size differs, or its time is later than `since`.

    Args:
        out: the export's folder.
        pair: the pair in the journal.
        since: the end of the last export, as `finished` gives it.
    """
    path = f"{out}/{beside(pair.path)}"
    status = os.stat(path)  # noqa: PTH116 - Path costs more than the call
    if status.st_size == len(pair.caption.encode()) and status.st_mtime_ns <= since:
        return False
    return is_correction(pair, Path(path).read_bytes())


def set_aside(out: Path, pairs: Iterable[Pair]) -> int:
    """Set aside the corrected captions of pairs that are removed, or will be exported again; return how many there are."""
    total = 0
    folder = out / STATE / _ASIDE
    for pair in pairs:
        path = out / beside(pair.path)
        data = path.read_bytes() if path.is_file() else None
        if is_correction(pair, data):
            folder.mkdir(exist_ok=True)
            os.replace(path, folder / f"{pair.id}.txt")  # noqa: PTH105 - Path.replace reads as a change of text
            total += 1
    return total


def put_back(out: Path, journal: Journal) -> None:
    """Put the captions that were set aside beside their images; captions without an image stay aside."""
    folder = out / STATE / _ASIDE
    if not folder.is_dir():
        return
    ids = np.array(sorted(int(path.stem) for path in folder.iterdir()), np.int64)
    for pair in journal.pairs_of(ids):
        os.replace(folder / f"{pair.id}.txt", out / beside(pair.path))  # noqa: PTH105 - Path.replace reads as a change of text


def keep_list(out: Path, sink: Sink, journal: Journal) -> str:
    """Rename a list of captions that was edited by hand, before the list is written again.

    Returns:
        the new name; "" if the list is what the last export wrote, or there is no list.
    """
    if not sink.list_name:
        return ""
    recorded, digest = journal.settings.get(_LIST), _digest(out / sink.list_name)
    if not recorded or not digest or digest in recorded.split():
        return ""
    path = out / sink.list_name
    names = (f"{path.stem}.edited{f'-{number}' if number > 1 else ''}{path.suffix}" for number in count(1))
    edited = next(free for name in names if not (free := path.with_name(name)).exists())
    os.replace(path, edited)  # noqa: PTH105 - Path.replace reads as a change of text
    return edited.name


def write_list(out: Path, sink: Sink, journal: Journal) -> None:
    """Let a sink write its list of all pairs, if it has one, and record the list's hash, to recognise edits later."""
    if not sink.list_name:
        return
    with replacing(out / sink.list_name) as part:
        sink.write_list(part, chain(journal.pairs(0), journal.pairs(high=-1)))
        digest = _digest(part)
        # Both hashes are recorded: a kill before or after the replacement leaves a list whose hash is recorded.
        journal.remember(_LIST, f"{journal.settings.get(_LIST) or ''} {digest}")
    journal.remember(_LIST, digest)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
