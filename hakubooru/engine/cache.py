"""A cache of what selections need, so that a notebook does not scan the file for every cell.

The columns of the posts and the last selections are kept in memory while the file is open. `hakubooru db optimize` writes a
sidecar, from which columns are read without a scan.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import platformdirs

from hakubooru.engine.columns import COUNTS, DATES, FEW, FileColumns
from hakubooru.errors import DatabaseFileError
from hakubooru.store.reader import THREADS
from hakubooru.store.store import BUSY_TIMEOUT, Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.columns import PostColumns
    from hakubooru.select.steps import Step

_KEPT: Final = 8  # at the size of the whole file, 59 MB each
LAYOUT: Final = 2
"""The version of the layout of sidecars; one of another version is not used."""
_POSTS_A_READ: Final = 1 << 17
_CODES: Final = 1 << 16


class SidecarColumns(FileColumns):
    """The columns of a file from its sidecar, which has the posts of every tag and the tags of every post as well."""

    know_tags = True

    def __init__(self, store: Store, sidecar: Sidecar) -> None:
        super().__init__(store)
        self.names = self.names | {*DATES, *COUNTS}
        self.sidecar = sidecar

    def are_read(self, name: str = "traits") -> bool:  # noqa: ARG002 - all are there
        """Always true."""
        return True

    @cached_property
    def ids(self) -> Ids:
        """The ids of all posts, (N,) int64, ascending; the sidecar has them in fewer bytes."""
        return self["id"].astype(np.int64)

    def bearing(self, tag: str) -> Values:
        """Whether each post has a tag, (N,) bool."""
        return self.sidecar.bearing(self._tag_id(tag), len(self["id"]))

    def tag_counts(self, ids: Ids) -> tuple[Values, Values]:
        """The ids of tags, and how many of the posts `ids` have each, (T,) each."""
        places = self.indices(ids)
        if len(ids) * FEW < len(self["id"]):
            return np.unique(self.sidecar.tags_of(places)[1], return_counts=True)
        mask = np.zeros(len(self["id"]), bool)
        mask[places] = True
        return self.sidecar.counts(mask)

    def about(self, tags: Sequence[str]) -> PostColumns:
        """The columns restricted to the posts of the rarest of `tags`, if the sidecar has that tag as rare; else all."""
        ids = [self._tag_id(tag) for tag in tags]
        places = min(
            (self.sidecar.places(tag_id) for tag_id in ids if not self.sidecar.is_common(tag_id)),
            key=len,
            default=None,
        )
        return self if places is None else self.some(places)

    def _tag_id(self, tag: str) -> int:
        rows = self._store.rows("SELECT id FROM tag WHERE name = ?", [tag])
        return int(rows[0][0]) if rows else 0

    def _load(self, name: str) -> Values:
        with self._reading:
            if name not in self._arrays:
                self._arrays[name] = self.sidecar.load(name)
            return self._arrays[name]


class Sidecar:
    """The open sidecar of a metadata file: its columns, the posts of every tag, and the tags of every post, as arrays on disk.

    `hakubooru db optimize FILE` writes it. It is optional, and the file itself is not changed. The sidecar is a folder of
    NumPy arrays, which are mapped into memory, so that opening it is quick:

        stamp.json      the state of the file: the sidecar of an older state, or of another layout, is not used
        id.npy, …       the columns, in the order of ids, each in the type of the fewest bytes
        tags.npy        (T, 4) int64: tag id, number of posts, start of its posts, and whether they are bits
        posts.npy       uint32: for most tags, the indices of their posts among the ids, ascending
        bits.npy        uint8: for the most common tags, a bit for every post
        codes.npy       the ids of the tags by their code, the most common first
        packed.bin      uint16, little-endian: the codes of the tags of each post, in the order of its relations
        packed_at.npy   (N + 1,): the start of each post in packed.bin

    A code below `code_base(T)` is one number of packed.bin. Any other is two: with `code - base = high * base + low`, first
    `base + high`, then `low`.

    Its folder is `FILE.sidecar` beside the file, or a folder in the user's cache if that cannot be written.
    """

    def __init__(self, folder: Path, *, posts_a_read: int = _POSTS_A_READ) -> None:
        """Map the arrays of a folder into memory.

        Args:
            folder: the sidecar.
            posts_a_read: how many posts of rare tags `counts` looks at together.
        """
        self.folder = folder
        self._posts_a_read = posts_a_read
        self._posts = self.load("posts")
        self._bits = self.load("bits")
        tags = self.load("tags")
        self._tag_ids = np.ascontiguousarray(tags[:, 0])
        self._spans = tags[:, 1:]

    def load(self, name: str) -> Values:
        """Map an array into memory, read-only."""
        array: Values = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array.view(np.ndarray)

    def is_common(self, tag_id: int) -> bool:
        """Whether a tag is so common that the sidecar has a bit for every post."""
        return bool(self._span(tag_id)[2])

    def places(self, tag_id: int) -> Values:
        """The indices among all ids of the posts that have a tag, ascending."""
        count, start, is_bits = self._span(tag_id)
        if is_bits:
            return np.flatnonzero(self._unpacked(start))
        return self._posts[start : start + count]

    def bearing(self, tag_id: int, posts: int) -> Values:
        """Whether each post of the file has a tag, (N,) bool; `posts` is their number N."""
        count, start, is_bits = self._span(tag_id)
        if is_bits:
            return self._unpacked(start)[:posts].view(bool)
        mask = np.zeros(posts, bool)
        mask[self._posts[start : start + count]] = True
        return mask

    def counts(self, mask: Values) -> tuple[Values, Values]:
        """The ids of tags, and how many posts of a mask, (N,) bool, have each, (T,) each."""
        totals, starts, is_bits = self._spans.T
        counts = np.zeros(len(totals), np.int64)
        packed = np.packbits(mask)
        common = np.flatnonzero(is_bits)
        rare = np.flatnonzero((is_bits == 0) & (totals > 0))
        pieces = np.cumsum(totals[rare]) // self._posts_a_read

        def count_common(row: int) -> int:
            return int(np.bitwise_count(self._bits[row] & packed).sum(dtype=np.int64))

        def count_rare(tags: Values) -> Values:
            # The posts of rare tags lie one tag after another.
            first, end = starts[tags[0]], starts[tags[-1]] + totals[tags[-1]]
            inside = mask.take(self._posts[first:end], mode="clip").view(
                np.uint8
            )  # checking bounds takes longer
            return np.add.reduceat(inside, starts[tags] - first, dtype=np.uint32)

        with ThreadPoolExecutor(THREADS) as pool:
            counts[common] = list(pool.map(count_common, starts[common].tolist()))
            if len(rare):
                parts = pool.map(count_rare, np.split(rare, np.flatnonzero(np.diff(pieces)) + 1))
                counts[rare] = np.concatenate(list(parts))
        return self._tag_ids, counts

    def tags_of(self, places: Values) -> tuple[Values, Values]:
        """The tags of posts: how many each has, (N,) int64, and the ids of all of them, one post after another.

        A post's tags are in the order of its relations; each is there once.

        Args:
            places: indices among all ids, (N,).
        """
        at, codes, numbers = self._packed
        base = code_base(len(codes))
        starts = at[places].astype(np.int64)
        lengths = at[places + 1].astype(np.int64) - starts
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        where = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        packed = numbers[where]
        is_high = packed >= base
        if not is_high.any():
            return lengths, codes[packed]
        whole = packed.astype(np.int64)
        low = np.flatnonzero(is_high) + 1
        whole[low] += base + (whole[low - 1] - base) * base
        before = np.concatenate([[0], np.cumsum(is_high)])
        return lengths - (before[ends] - before[ends - lengths]), codes[whole[~is_high]]

    @cached_property
    def _packed(self) -> tuple[Values, Values, Values]:
        """Where the tags of each post begin, (N + 1,), the tag of each code, (T,), and the numbers of packed.bin."""
        path = self.folder / "packed.bin"
        numbers = (
            np.memmap(path, "<u2", "r").view(np.ndarray) if path.stat().st_size else np.empty(0, np.uint16)
        )
        return self.load("packed_at"), self.load("codes"), numbers

    def _unpacked(self, row: int) -> Values:
        return np.unpackbits(self._bits[row])

    def _span(self, tag_id: int) -> tuple[int, int, int]:
        place = int(np.searchsorted(self._tag_ids, tag_id))
        if place == len(self._tag_ids) or self._tag_ids[place] != tag_id:
            return 0, 0, 0
        count, start, is_bits = self._spans[place].tolist()
        return count, start, is_bits


def code_base(tags: int) -> int:
    """The smallest code of a tag that takes two numbers, of a file with this many tags."""
    return _CODES - 1 - tags // (_CODES // 2)


def open_sidecar(database: Path) -> Sidecar | None:
    """Open the sidecar of a metadata file; None if there is none for the current state of the file.

    It warns of one that has another layout, because a new one would be used.
    """
    stamp = stamp_of(database)
    for folder in (beside(database), in_cache(database)):
        try:
            recorded = json.loads((folder / "stamp.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if recorded == stamp:
            return Sidecar(folder)
        if isinstance(recorded, dict) and {**recorded, "layout": LAYOUT} == stamp:
            warnings.warn(
                f"{folder} has the layout of another version of hakubooru and is not used: write it again with "
                f"`hakubooru db optimize {database}`",
                stacklevel=2,
            )
    return None


def stamp_of(database: Path) -> dict[str, Any]:
    """A stamp of the state of a file, which is the same for a copy: the layout, the size, and SQLite's change counter."""
    return {"layout": LAYOUT, "bytes": database.stat().st_size, "changes": count_changes(database)}


def count_changes(database: Path) -> int:
    """The transactions that changed a file, as SQLite counts them in bytes 24 to 27 of its header; a copy has the same."""
    with database.open("rb") as file:
        header = file.read(28)
    return int.from_bytes(header[24:28], "big")


def beside(database: Path) -> Path:
    """The folder of a sidecar beside its file."""
    return database.with_name(database.name + ".sidecar")


def in_cache(database: Path) -> Path:
    """The folder of a sidecar in the user's cache."""
    name = hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("hakubooru") / "sidecars" / f"{database.stem}-{name}"


class _State(NamedTuple):
    """The state of a file at some time."""

    change: tuple[int, int]
    """The time of its last change, in nanoseconds, and its size."""
    file: tuple[int, int]
    """The numbers of its device and of the file there, which another file of its path has not."""


def _state(path: Path) -> _State:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise DatabaseFileError(f"{path} is no longer there; bring it back, and open it again") from error
    return _State((status.st_mtime_ns, status.st_size), (status.st_dev, status.st_ino))


class Cache:
    """A cache of the numeric columns of a file and the ids of the last selections, as long as the file does not change."""

    def __init__(self, database: Store) -> None:
        self.selections: OrderedDict[Step, Ids] = OrderedDict()
        """The ids of the last selections, as read-only arrays."""
        sidecar = open_sidecar(database.path)
        self.columns = FileColumns(database) if sidecar is None else SidecarColumns(database, sidecar)

    def put(self, step: Step, ids: Ids) -> None:
        """Cache the ids of a selection. The array becomes read-only."""
        ids.flags.writeable = False
        self.selections[step] = ids
        self.selections.move_to_end(step)
        while len(self.selections) > _KEPT:
            self.selections.popitem(last=False)


class CachedStore(Store):
    """An open metadata file with a cache of its columns and recent selections."""

    _cache: Cache | None = None
    images: Any = ()
    """Folders, tars or URLs that hold the posts' images, one or several; notebooks then show thumbnails."""

    def __init__(self, path: Path, *, writable: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> None:
        super().__init__(path, writable=writable, busy_timeout=busy_timeout)
        self._state = _state(path)

    @property
    def cache(self) -> Cache:
        """A cache of columns and recent selections. It is emptied when the file changes.

        Raises:
            BusyError: another process has locked the file.
            DatabaseFileError: another file has taken its place, or it is no longer there; open connections read the old one.
        """
        self._forget_earlier()
        cache = self._cache
        if cache is None:
            cache = self._cache = Cache(self)
        return cache

    def _forget_earlier(self) -> None:
        """Forget what was read from the file before its last change."""
        now = _state(self.path)
        if now.change == self._state.change:
            return
        if now.file != self._state.file:
            raise DatabaseFileError(
                f"{self.path} was replaced by another file since it was opened; open it again"
            )
        self._cache = None
        vars(self).pop("about", None)
        # A copy may lie there, and the other file is open.
        self._state = now._replace(file=self._state.file)
