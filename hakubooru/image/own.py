"""Folders of a user's own pairs: images with a caption of the same name in `.txt` beside each, and no post id.

Where posts have ids, such an image has a number below 0, made of its path: the same on every machine, and none of
another image's however many there are.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.image.kinds import EXTENSIONS, SUFFIX_PATTERN
from hakubooru.image.names import storable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.arrays import Ids

_IMAGE: Final = re.compile(rf"[^.].*\.{SUFFIX_PATTERN}", re.IGNORECASE | re.DOTALL)
_LONGEST_STEM: Final = 60


@dataclass(frozen=True)
class OwnFolder:
    """A folder of own pairs; those in folders below it have one of their own."""

    path: str
    key: str
    """What it is known by from one run to the next: the place of its root among those given, and its path below it."""
    stamp: int
    """Changes when a file's name, size or time of change does."""
    ids: Ids
    """The numbers of its images, ascending."""

    def number(self, name: str) -> int:
        """The number of an image, from the path of its folder and its name: -1 and down."""
        digest = hashlib.sha256(f"{self.key}/{name}".encode("utf-8", "surrogateescape"))
        return -1 - int(digest.hexdigest()[:15], 16)


def own_place(number: int, name: str, extension: str) -> str:
    """Where an own image lies in an export: `own/cat-00f3a9c1b2d4e5f.png`.

    Args:
        number: the image's, by which no two have the same place.
        name: of its file, which shows in that of the export's.
        extension: of the exported image.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem)[:_LONGEST_STEM]
    return f"own/{stem}-{-1 - number:015x}.{extension}"


def own_number(path: str) -> int:
    """The number of the image that lies at such a place."""
    return -1 - int(path.rpartition(".")[0].rpartition("-")[2], 16)


def find_own(
    roots: Sequence[str | os.PathLike[str]], skip: str | os.PathLike[str] | None = None
) -> list[OwnFolder]:
    """The folders at and below some folders that hold images; names that begin with a dot are passed over.

    Links to folders are followed, to each folder once below a root: by its own path there, or else by a link to it.

    Args:
        roots: folders.
        skip: a folder to leave out, such as the one that is written to.

    Raises:
        SourceError: a root is no folder, cannot be read, or holds no image.
    """
    found: list[OwnFolder] = []
    for place, root in enumerate(roots):
        if not Path(root).is_dir():
            raise SourceError(f"{root}, given as a folder of your own images, is no folder; correct the path")
        try:
            some = list(_search(Path(root), place, None if skip is None else os.path.realpath(skip)))
        except OSError as error:
            raise SourceError(f"{error.filename or root} cannot be read: {error.strerror}") from error
        if not some:
            raise SourceError(f"{root} holds no images of your own ({', '.join(EXTENSIONS)})")
        found += some
    return found


def _search(root: Path, place: int, skip: str | None) -> Iterator[OwnFolder]:
    for at in _folders(root, skip):
        below = Path(at).relative_to(root).as_posix()
        folder = OwnFolder(at, f"own {place}/{storable(below)}", _stamp(at), np.empty(0, np.int64))
        ids = np.array(sorted(map(folder.number, images_in(at))), np.int64)
        if len(ids):
            yield OwnFolder(folder.path, folder.key, folder.stamp, ids)


def _folders(root: Path, skip: str | None) -> Iterator[str]:
    seen: set[str] = set()
    # Links wait until all else is seen: an image keeps its number, made of its path, where a link to it is added.
    pending = deque([str(root)])
    while pending:
        for at, folders, _ in os.walk(pending.popleft()):
            real = os.path.realpath(at)
            if real in seen or real == skip:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            pending += [link for name in folders if os.path.islink(link := os.path.join(at, name))]  # noqa: PTH114, PTH118 - os.walk has strings
            yield at


def images_in(folder: str) -> list[str]:
    """The names of the images in a folder, in their order."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _IMAGE.fullmatch(entry.name) and entry.is_file())


def _stamp(folder: str) -> int:
    digest = hashlib.sha256()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_file():
                status = entry.stat()
                told = f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\0"
                digest.update(told.encode("utf-8", "surrogateescape"))
    return int(digest.hexdigest()[:15], 16)
