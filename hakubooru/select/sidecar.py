"""The sidecar of a metadata file: its numeric columns and the posts of every tag, as arrays on disk.

`hakubooru db optimize FILE` writes it, once; nothing needs it, and the file itself stays as it is. It is a folder of
NumPy arrays that are mapped into memory, so that opening it reads next to nothing:

    stamp.json      what the file was like: a sidecar of an older state is not used
    id.npy, …       the columns, in the order of ids
    tags.npy        (T, 4) int64: tag id, posts, where its posts begin, and whether they are bits
    posts.npy       uint32: for most tags the places of their posts among the ids, ascending
    bits.npy        uint8: for the commonest tags a bit for every post

It lies beside the file, in `FILE.sidecar`, or, where that folder cannot be written, in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import platformdirs

from hakubooru.errors import DestinationError

if TYPE_CHECKING:
    from pathlib import Path

    from hakubooru.arrays import Values


LAYOUT: Final = 1
"""The number of this layout; a sidecar of another is not used."""

_POSTS_A_READ: Final = 8_000_000
_ONES: Final = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint32)
"""How many bits of a byte are set."""


class Sidecar:
    """An open sidecar."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._posts = self.load("posts")
        self._bits = self.load("bits")
        tags = self.load("tags")
        self._tag_ids = np.ascontiguousarray(tags[:, 0])
        self._spans = tags[:, 1:]

    def has(self, name: str) -> bool:
        """Whether it has a column."""
        return (self.folder / f"{name}.npy").exists()

    def load(self, name: str) -> Values:
        """An array, mapped into memory, not to be written to."""
        array: Values = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array.view(np.ndarray)

    def is_common(self, tag_id: int) -> bool:
        """Whether so many posts bear a tag that it has a bit for every post."""
        return bool(self._span(tag_id)[2])

    def places(self, tag_id: int) -> Values:
        """The places among the ids of the posts that bear a tag, ascending."""
        count, start, is_bits = self._span(tag_id)
        if is_bits:
            return np.flatnonzero(self._unpacked(start))
        return self._posts[start : start + count]

    def bearing(self, tag_id: int, posts: int) -> Values:
        """Whether each of the file's posts, of which there are so many, bears a tag, (N,) bool."""
        count, start, is_bits = self._span(tag_id)
        if is_bits:
            return self._unpacked(start)[:posts].view(bool)
        mask = np.zeros(posts, bool)
        mask[self._posts[start : start + count]] = True
        return mask

    def counts(self, mask: Values) -> tuple[Values, Values]:
        """Tag ids, and how many posts of a mask, (N,) bool, bear each, (T,) each."""
        counts, starts, is_bits = self._spans.T
        found = np.zeros(len(counts), np.int64)
        packed = np.packbits(mask)
        for tag in np.flatnonzero(is_bits).tolist():
            found[tag] = _ONES[self._bits[starts[tag]] & packed].sum()
        listed = np.flatnonzero((is_bits == 0) & (counts > 0))
        pieces = np.cumsum(counts[listed]) // _POSTS_A_READ
        for some in np.split(listed, np.flatnonzero(np.diff(pieces)) + 1):
            if len(some):
                first, end = starts[some[0]], starts[some[-1]] + counts[some[-1]]
                inside = mask[self._posts[first:end]]
                found[some] = np.add.reduceat(inside, starts[some] - first, dtype=np.int64)
        return self._tag_ids, found

    def _unpacked(self, row: int) -> Values:
        return np.unpackbits(self._bits[row])

    def _span(self, tag_id: int) -> tuple[int, int, int]:
        place = int(np.searchsorted(self._tag_ids, tag_id))
        if place == len(self._tag_ids) or self._tag_ids[place] != tag_id:
            return 0, 0, 0
        count, start, is_bits = self._spans[place].tolist()
        return count, start, is_bits


def open_sidecar(database: Path) -> Sidecar | None:
    """The sidecar of a metadata file; None where there is none, or only one of another state of the file."""
    stamp = stamp_of(database)
    for folder in (_beside(database), _cached(database)):
        try:
            found = json.loads((folder / "stamp.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if found == stamp:
            return Sidecar(folder)
    return None


def stamp_of(database: Path) -> dict[str, Any]:
    """What tells one state of a file from another, and is the same in a copy.

    SQLite counts the transactions that changed a file in its header, in bytes 24 to 27.
    """
    with database.open("rb") as file:
        header = file.read(28)
    return {
        "layout": LAYOUT,
        "bytes": database.stat().st_size,
        "changes": int.from_bytes(header[24:28], "big"),
    }


class NewSidecar:
    """A sidecar in the making: built beside and renamed, and removed where that fails.

    Raises:
        DestinationError: neither the file's folder nor the user's cache can be written.
    """

    def __init__(self, database: Path) -> None:
        self._stamp = stamp_of(database)
        for target in (_beside(database), _cached(database)):
            building = target.with_name(target.name + ".building")
            try:
                shutil.rmtree(building, ignore_errors=True)
                building.mkdir(parents=True)
            except OSError:
                continue
            self.target, self.folder = target, building
            return
        raise DestinationError(
            f"neither {_beside(database)} nor {_cached(database)} can be written; make one of the two folders writable"
        )

    def save(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """Write an array."""
        np.save(self.folder / f"{name}.npy", values, allow_pickle=False)

    def empty(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Values:
        """An array on disk to be filled."""
        array: Values = np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype, shape)
        return array

    def scratch(self, name: str) -> Path:
        """A path for what is not to be kept."""
        return self.folder / name

    def finish(self) -> Path:
        """Give it its name, in place of an older one."""
        (self.folder / "stamp.json").write_text(
            json.dumps(self._stamp) + "\n", encoding="utf-8", newline="\n"
        )
        shutil.rmtree(self.target, ignore_errors=True)
        os.replace(self.folder, self.target)  # noqa: PTH105 - as atomic as the system can
        return self.target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _beside(database: Path) -> Path:
    return database.with_name(database.name + ".sidecar")


def _cached(database: Path) -> Path:
    name = hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("hakubooru") / "sidecars" / f"{database.stem}-{name}"
