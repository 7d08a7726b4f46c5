"""Folders of a user's own pairs: images without a post id, each with a caption beside it, or in a list in its folder or above.

In place of a post id, such an image has a number below 0. It is a hash of the image's path: the same on every machine,
and different from the number of every other image.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import posixpath
import re
from collections import deque
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.files import read_text
from hakubooru.image.kinds import EXTENSIONS, SUFFIX_PATTERN
from hakubooru.image.layouts import storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hakubooru.arrays import Ids

_IMAGE: Final = re.compile(rf"[^.].*\.{SUFFIX_PATTERN}", re.IGNORECASE | re.DOTALL)
BESIDE: Final = (".txt", ".caption")
"""The suffixes of captions beside images, the first of them first."""
_NAMES: Final = ("file_name", "filename", "file", "image")
_TEXTS: Final = ("text", "caption", "prompt")


@dataclass(frozen=True)
class OwnFolder:
    """A folder of own pairs; each folder below it with images is an `OwnFolder` of its own."""

    path: str
    """The folder's path."""
    root: str
    """The path of the place of own images that it belongs to."""
    key: str
    """The name of the folder in journals: the index of its root, and its path below the root."""
    stamp: int
    """A number that changes when the name, size or time of a file does, or of a list of captions above."""
    ids: Ids
    """The numbers of the folder's images, ascending."""
    lists: tuple[Path, ...] = ()
    """The lists of captions in the folder and above it, up to `root`; the nearest count first."""

    def number(self, name: str) -> int:
        """Return the number of an image, at most -1, from the folder's key and the image's name."""
        digest = hashlib.sha256(f"{self.key}/{name}".encode("utf-8", "surrogateescape"))
        return -1 - int(digest.hexdigest()[:15], 16)


def find_own(
    roots: Sequence[str | os.PathLike[str]], skip: str | os.PathLike[str] | None = None
) -> list[OwnFolder]:
    """Return the folders at and below some folders that hold images; names that begin with a dot are skipped.

    Links to folders are followed. A folder counts once below a root: by its own path if it lies there, else by a link.

    Args:
        roots: the folders to search.
        skip: a folder to leave out, such as the folder of the export.

    Raises:
        SourceError: a root is not a folder, is the one to leave out, cannot be read, or holds no image.
    """
    skipped = None if skip is None else os.path.realpath(skip)
    folders: list[OwnFolder] = []
    for place, root in enumerate(roots):
        if not Path(root).is_dir():
            raise SourceError(f"the place of your own images {root} is not a folder; correct the path")
        check_apart(root, skipped)
        try:
            some = list(_search(Path(root), place, skipped))
        except OSError as error:
            raise SourceError(
                f"{error.filename or root} cannot be read ({error.strerror}); change its permissions"
            ) from error
        if not some:
            raise SourceError(
                f"{root} holds no images of your own; name a folder with images ({', '.join(EXTENSIONS)})"
            )
        folders += some
    return folders


def check_apart(root: str | os.PathLike[str], skipped: str | None) -> None:
    """Check that a place of images is not the folder that is left out, since it is written to.

    Args:
        root: the place.
        skipped: the real path of the folder.

    Raises:
        SourceError: they are one folder.
    """
    if os.path.realpath(root) == skipped:
        raise SourceError(
            f"{root} is the folder that is written to; write to another one, or name another place of images"
        )


def _search(root: Path, place: int, skip: str | None) -> Iterator[OwnFolder]:
    lists = cache(_lists)  # a folder with many files is above many others
    for at in _folders(root, skip):
        below = Path(at).relative_to(root).as_posix()
        folder = OwnFolder(at, str(root), f"own {place}/{storable(below)}", 0, np.empty(0, np.int64))
        ids = np.array(sorted(map(folder.number, images_in(at))), np.int64)
        if len(ids):
            near = tuple(path for above in _up_to(root, Path(at)) for path in lists(above))
            yield replace(folder, ids=ids, stamp=_stamp(at, near), lists=near)


def _folders(root: Path, skip: str | None) -> Iterator[str]:
    seen: set[str] = set()
    # Links come last: if a link to a folder is added later, its images keep the numbers made from their own paths.
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
    """Return the names of the images in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if _IMAGE.fullmatch(entry.name) and entry.is_file())


def _stamp(folder: str, lists: Iterable[Path]) -> int:
    digest = hashlib.sha256()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_file():
                status = entry.stat()
                state = f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\0"
                digest.update(state.encode("utf-8", "surrogateescape"))
    for path in lists:
        if path.parent != Path(folder):
            status = path.stat()
            state = f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0"
            digest.update(state.encode("utf-8", "surrogateescape"))
    return int(digest.hexdigest()[:15], 16)


class OwnCaptions:
    """The captions of the images in a folder; lists are read when an image has no caption beside it.

    For `cat.png` these are, in this order: `cat.txt`; `cat.caption`; and a row of `metadata.jsonl`, or of a CSV, that has
    the name `cat.png` and a text. The columns of a list are `file_name` (or `filename`, `file`, `image`) and `text` (or
    `caption`, `prompt`). Lists lie in the folder, or in a folder above, up to the place of own images; the names in them
    begin at their folder.
    """

    def __init__(self, folder: OwnFolder) -> None:
        self.folder = Path(folder.path)
        self.root = Path(folder.root)
        self.lists = folder.lists

    def of(self, name: str) -> str | None:
        """The caption of an image, by the image's name; None if it has none.

        Raises:
            ValueError: the caption, or a list, is not UTF-8 or cannot be read; the message says which file.
        """
        for suffix in BESIDE:
            path = (self.folder / name).with_suffix(suffix)
            if path.is_file():  # a folder can have that name, or a pipe, which would never end
                try:
                    return read_text(path)
                except UnicodeDecodeError as error:
                    raise ValueError("its caption is not UTF-8") from error
        return self._listed.get(name)

    def without_image(self) -> list[str]:
        """The names in lists of what this folder does not hold, sorted; none if a list cannot be read."""
        try:
            return sorted(self._listed.keys() - {path.name for path in self.folder.iterdir()})
        except ValueError:
            return []

    @cached_property
    def _listed(self) -> dict[str, str]:
        captions: dict[str, str] = {}
        for path in self.lists:
            status = path.stat()
            try:
                rows = _read_list(path, status.st_mtime_ns, status.st_size)
            except (ValueError, csv.Error) as error:
                raise ValueError(
                    f"{path.relative_to(self.root).as_posix()} cannot be read: {error}"
                ) from error
            captions = rows.get(self.folder.relative_to(path.parent).as_posix(), {}) | captions
        return captions


def _up_to(root: Path, folder: Path) -> Iterator[Path]:
    """Iterate over a folder and the folders above it, up to a root."""
    while folder != root:
        yield folder
        folder = folder.parent
    yield root


def _lists(folder: Path) -> list[Path]:
    """The lists of captions that may lie in a folder, the first of them first."""
    return [path for path in (folder / "metadata.jsonl", *sorted(folder.glob("*.csv"))) if path.is_file()]


@lru_cache(4)
def _read_list(path: Path, time: int, size: int) -> dict[str, dict[str, str]]:
    """Read a list of captions: texts by the names of images, by the path of their folder below the list's.

    Args:
        path: the list.
        time: its time of change; while that stays, it is read once for all folders below it.
        size: its size.

    Raises:
        ValueError: it cannot be read.
        csv.Error: it is not a CSV.
    """
    del time, size
    is_csv = path.suffix == ".csv"
    rows = csv.DictReader(read_text(path).splitlines(keepends=True)) if is_csv else _json_rows(path)
    captions: dict[str, dict[str, str]] = {}
    for name, text in _pairs(rows):
        # As in `datasets`, a name may have the separators of Windows.
        is_plain = "\\" not in name or os.path.exists(path.parent / name)  # noqa: PTH110 - a name may be too long
        place = PurePosixPath(posixpath.normpath(name if is_plain else name.replace("\\", "/")))
        captions.setdefault(place.parent.as_posix(), {}).setdefault(place.name, text)
    return captions


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Iterate over the objects of a file with one JSON object a line.

    Raises:
        ValueError: a line is not an object; the message says which.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            yield row


def _pairs(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        name = next((row[key] for key in _NAMES if isinstance(row.get(key), str)), None)
        text = next((row[key] for key in _TEXTS if isinstance(row.get(key), str)), None)
        if name is not None and text is not None:
            yield name, text
