"""Indexes of tars: where the images lie, so that a few can be read without walking the archive.

Published indexes are used. For other archives an index of our own is kept beside the tar, or in the user's cache if the
tar's folder cannot be written to.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.files import is_remote, replacing, touch
from hakubooru.image import kept
from hakubooru.image.containers import READERS
from hakubooru.image.kinds import SUFFIXES, UNREADABLE
from hakubooru.image.layouts import (
    INDEX_SUFFIX,
    MD5,
    NO_HASHES,
    Hashes,
    StrangeNameError,
    image_of,
    md5_of,
    post_id,
)
from hakubooru.image.published import Span, StaleIndexError, gaps, json_of, left_out, parse_index
from hakubooru.image.ranges import read_parts
from hakubooru.image.tar import BLOCK, DamagedTarError, Member, parse_header, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakubooru.arrays import Ids

VERSION: Final = 5
"""Version of our own indexes; an index of an earlier version is built again."""
_NAME: Final = 100
"""Bytes that a header has for a name."""
_INTEGER: Final = "<i8"
_LARGEST_JSON: Final = 256 * 2**20
_INDEXES_KEPT: Final = 64
"""How many indexes of our own stay in memory; one of a thousand images has 24 KB."""


@dataclass(frozen=True)
class TarIndex:
    """The index of a tar or a folder: its images, in the order of the archive."""

    ids: Ids
    """The posts, (N,) int64; a post may occur twice."""
    offsets: Ids
    """The bytes where the contents start, (N,) int64."""
    sizes: Ids
    """The bytes of the contents, (N,) int64."""
    strange: tuple[tuple[str, str], ...] = ()
    """Members that are not images of posts: name and reason."""
    damage: str = ""
    """Why the archive could not be read to its end; "" if it could."""
    names: dict[int, str] = field(default_factory=dict)
    """Names that are not, or not fully, in the header before the contents, by the image's row."""
    hashes: Any = field(default_factory=lambda: np.empty(0, MD5))
    """The images that are named by their MD5, (M,) of `MD5`; the id of number k is -1 - k."""
    unread: tuple[int, ...] = ()
    """The rows of images that are empty, or of a format that cannot be read."""

    def resolved(self, hashes: Hashes) -> TarIndex:
        """Return this index with the posts of images that are named by their MD5, as far as these are known."""
        if not len(self.hashes):
            return self
        posts = hashes.posts(self.hashes)
        ids = self.ids.copy()
        is_hash = ids < 0
        numbers = posts[-1 - ids[is_hash]]
        ids[is_hash] = np.where(numbers >= 0, numbers, ids[is_hash])
        return replace(self, ids=ids)

    def readable(self) -> Ids:
        """Return the posts whose image is not in `unread`, (N,) int64, and numbers below 0 of unknown posts."""
        return np.delete(self.ids, self.unread)


class Recorder:
    """Builds an index from the members of an archive."""

    def __init__(self, hashes: Hashes = NO_HASHES) -> None:
        """Begin an index.

        Args:
            hashes: the posts of images that are named by their MD5.
        """
        self._known = hashes
        self._hashes: list[bytes] = []
        self._unread: list[int] = []
        self._rows: list[tuple[int, int, int]] = []
        self._strange: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}

    def add(self, member: Member) -> int | None:
        """Add a member to the index; return the post whose image it is, or None.

        Raises:
            StrangeNameError: the member is not an image of a post; it is added to `strange`.
        """
        md5 = md5_of(member.name) if member.kind == "a file" else None
        if md5 is not None:
            self._hashes.append(md5)
            self._take(-len(self._hashes), member)
            post = int(self._known.posts(np.array([md5], MD5))[0])
            return post if post >= 0 else None
        try:
            number = image_of(member)
        except StrangeNameError as error:
            self._strange.append((member.name, str(error)))
            raise
        if number is not None:
            self._take(number, member)
        return number

    def _take(self, number: int, member: Member) -> None:
        name = member.name
        if len(name) >= _NAME or not name.isascii() or member.target:
            self._names[len(self._rows)] = name
        if not member.size or name.endswith(UNREADABLE):
            self._unread.append(len(self._rows))
        self._rows.append((number, member.offset, member.size))

    def take_down(self, member: Member) -> bool:
        """Add a member to the index; return False, so that a reader does not read its contents."""
        with contextlib.suppress(StrangeNameError):
            self.add(member)
        return False

    def index(self, damage: str = "") -> TarIndex:
        """Return the index of all added members."""
        rows = np.array(self._rows, np.int64).reshape(-1, 3)
        hashes = np.array(self._hashes, MD5)
        ids, offsets, sizes = rows[:, 0], rows[:, 1], rows[:, 2]
        return TarIndex(
            ids, offsets, sizes, tuple(self._strange), damage, self._names, hashes, tuple(self._unread)
        )


def build_index(path: str, kind: str = "tar") -> TarIndex:
    """Build the index of an archive from its headers, or of a folder or another container from its list of files."""
    recorder = Recorder()
    damage = ""
    try:
        for _ in READERS[kind](path, recorder.take_down):
            pass
    except DamagedTarError as error:
        damage = str(error)
    return recorder.index(damage)


def load_index(path: str, size: int | None = None, published: str | None = None) -> TarIndex | None:
    """Return the index of an archive; None if there is none that fits it. A damaged index counts as none.

    Args:
        path: the archive, or its URL.
        size: the bytes of a remote archive; None for a file, which is looked at.
        published: the path or URL of the published index; "" if there is none. By default it is looked for beside the
            archive.

    Raises:
        OSError: the index of a remote archive cannot be fetched, is damaged, or belongs to another archive.
    """
    if published is None:
        published = json_of(path)
    if size is not None:
        return _fetch(path, size, published)
    try:
        state = state_of(path)
    except OSError:
        return None  # walking the archive has the better message
    if (index := _load_own(Path(path + INDEX_SUFFIX), state)) is not None:
        return index
    place = kept.in_cache(_absolute(path))
    if (index := _load_own(place, state)) is not None:
        touch(place)
        return index
    return _load_json(published, path) if published else None


def _fetch(path: str, size: int, published: str) -> TarIndex:
    """Return the index of a remote archive, which is fetched once and then kept in the user's cache while it stays so."""
    from hakubooru.image.remote import version_of  # noqa: PLC0415 - needed only for URLs

    version = version_of(published)
    if not version:
        return _downloaded(path, size, published)
    state = {"bytes": size, "index": published, "version of index": version}
    place = kept.in_cache(path)
    index = _load_own(place, state)
    if index is not None:
        touch(place)
        return index
    index = _downloaded(path, size, published)
    with contextlib.suppress(OSError):
        _write(place, index, state)
    return index


def _downloaded(path: str, size: int, published: str) -> TarIndex:
    from hakubooru.image.remote import opened, read_url  # noqa: PLC0415 - needed only for URLs

    try:
        spans = parse_index(read_url(published), size)
    except StaleIndexError as error:
        raise OSError(
            f"the index {published} belongs to another archive than {path}: {error}; fetch both again from one source"
        ) from error
    if spans is None:
        raise OSError(f"{published} is not an index, or is cut off; fetch it again")
    more: list[Member] = []
    damage = ""
    if any(True for _ in gaps(spans, size)):
        with opened(path, size) as file:
            more, damage = left_out(file, spans, size)
    return _recorded(spans, more, damage)


def state_of(path: str) -> dict[str, int]:
    """Return the state of an archive, which changes with it: its bytes, and its time of change in nanoseconds."""
    status = os.stat(path)  # noqa: PTH116 - once for every archive
    return {"bytes": status.st_size, "changed": status.st_mtime_ns}


def save_index(path: str, index: TarIndex, state: dict[str, int]) -> None:
    """Keep an index beside its archive, or else in the user's cache; if neither can be written to, keep none.

    Args:
        path: the archive.
        index: the archive's index.
        state: the archive's state before it was walked. If the archive was written to in the meantime, its state
            differs afterwards, and the index is not used.
    """
    for place in (Path(path + INDEX_SUFFIX), kept.in_cache(_absolute(path))):
        with contextlib.suppress(OSError):
            _write(place, index, state)
            return


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - a string goes in


def _write(place: Path, index: TarIndex, state: Mapping[str, Any]) -> None:
    kept.prepare(place)
    with replacing(place) as part, part.open("wb") as file:
        file.write(json.dumps(_about(index, state)).encode() + b"\n")
        file.write(np.stack([index.ids, index.offsets, index.sizes]).astype(_INTEGER).tobytes())
        file.write(index.hashes.tobytes())


def read_indexed(path: str, index: TarIndex, rows: Any) -> Iterator[tuple[Member, bytes]]:
    """Read some images of a tar, in its order, one at a time.

    Args:
        path: the archive, or its URL.
        index: the archive's index.
        rows: the rows of the index to read, (M,) ascending.

    Yields:
        the members with their contents.

    Raises:
        StaleIndexError: an image is not where the index says.
        OSError: the archive cannot be read.
    """
    columns = (index.ids[rows], index.offsets[rows], index.sizes[rows])
    places = list(zip(map(int, rows), *(column.tolist() for column in columns), strict=True))
    spans = ((offset - BLOCK, offset + size) for _, _, offset, size in places)
    for (row, number, offset, size), part in zip(places, _parts(path, spans), strict=True):
        try:
            member = parse_header(bytes(part[:BLOCK]), offset - BLOCK, offset + size)
        except DamagedTarError as error:
            raise StaleIndexError(str(error)) from error
        # The header has only the first part of a long name, and the target's name for a hard link. So only names that
        # are not in the index can be compared.
        is_other = row not in index.names and _names_another(member.name, number)
        # Sizes can be compared: only members of 8 GiB and more have them in extension headers.
        if len(part) != BLOCK + size or member.size != size or member.kind != "a file" or is_other:
            if is_remote(path):  # the next run fetches the index again
                kept.in_cache(path).unlink(missing_ok=True)
            raise StaleIndexError(f"post {number} is not at byte {offset:,}, with {size:,} bytes")
        member.name = index.names.get(row, member.name)
        yield member, bytes(memoryview(part)[BLOCK:])


def _parts(path: str, spans: Iterator[tuple[int, int]]) -> Iterator[bytes | memoryview]:
    if not is_remote(path):
        return read_parts(path, spans)
    from hakubooru.image.remote import read_ranges  # noqa: PLC0415 - needed only for URLs

    return read_ranges(path, spans)


def _names_another(name: str, number: int) -> bool:
    stem, _, suffix = name.rpartition(".")
    if suffix in SUFFIXES and stem == str(number):
        return False  # nearly all names; the patterns take several times as long
    if md5_of(name) is not None:
        return False
    try:
        return post_id(name) != number
    except StrangeNameError:
        return len(name.encode("utf-8", "surrogateescape")) < _NAME


def _about(index: TarIndex, state: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"images": len(index.ids), "hashes": len(index.hashes), "unread": index.unread}
    about = {"strange": index.strange, "damage": index.damage, "names": index.names}
    return {"version": VERSION, **state, **counts, **about}


def _load_own(place: Path, state: Mapping[str, Any]) -> TarIndex | None:
    """Return an index of our own; None if there is none, if it is damaged, or of another state of the archive."""
    try:
        status = place.stat()
        return _read_own(place, (status.st_mtime_ns, status.st_size), tuple(state.items()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@lru_cache(_INDEXES_KEPT)
def _read_own(place: Path, stamp: tuple[int, int], state: tuple[tuple[str, Any], ...]) -> TarIndex:
    """Read a line of JSON with the archive's state, then ids, offsets and sizes, 8 bytes each, and MD5s.

    While the stamp of the file stays, it is read once in a process.

    Raises:
        ValueError: the index is of another archive, of this one before it changed, or damaged, as other errors say, too.
    """
    del stamp
    line, _, rows = place.read_bytes().partition(b"\n")
    about = json.loads(line)
    if {**about, "version": VERSION, **dict(state)} != about:
        raise ValueError("of another state")
    count, of_hashes = int(about["images"]), int(about["hashes"])
    ids, offsets, sizes = np.frombuffer(rows, _INTEGER, 3 * count).reshape(3, count)
    hashes = np.frombuffer(rows, MD5, of_hashes, 24 * count) if of_hashes else np.empty(0, MD5)
    unread = tuple(int(row) for row in about["unread"])
    if (
        len(rows) != 24 * count + 16 * of_hashes
        or (ids < -of_hashes).any()
        or max(unread, default=-1) >= count
        or (offsets < BLOCK).any()
        or (sizes < 0).any()
        or (sizes > about["bytes"] - offsets).any()
    ):
        raise ValueError("damaged")
    strange = tuple((str(name), str(reason)) for name, reason in about["strange"])
    names = {int(row): str(name) for row, name in about["names"].items()}
    return TarIndex(ids, offsets, sizes, strange, str(about["damage"]), names, hashes, unread)


def _load_json(published: str, path: str) -> TarIndex | None:
    place = Path(published)
    try:
        if place.stat().st_size > _LARGEST_JSON:  # a URL is no file
            return None
        spans = parse_index(place.read_bytes(), Path(path).stat().st_size)
        if spans is None:
            return None
        # An index is not used if it leaves out images, or if some were added after it: they would never be read.
        added = Recorder()
        with Path(path).open("rb", buffering=0) as file:
            for member in left_out(file, spans, os.fstat(file.fileno()).st_size)[0]:
                added.take_down(member)
        for _ in read_tar(path, added.take_down, max(map(_after, spans), default=0)):
            pass
    except (OSError, StaleIndexError, DamagedTarError):
        return None
    return None if len(added.index().ids) else _recorded(spans)


def _after(span: tuple[str, int, int]) -> int:
    """Return the byte where a further member would begin."""
    _, offset, size = span
    return offset + size + -size % BLOCK


def _recorded(spans: Iterable[Span], more: Iterable[Member] = (), damage: str = "") -> TarIndex:
    recorder = Recorder()
    named = (Member(name, size, offset) for name, offset, size in spans)
    for member in sorted([*named, *more], key=lambda member: member.offset):
        recorder.take_down(member)
    return recorder.index(damage)
