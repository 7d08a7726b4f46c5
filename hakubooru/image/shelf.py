"""Where the image of one post is: in which archive, and at which place in it."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.files import is_remote
from hakubooru.image.containers import READERS
from hakubooru.image.header import LARGEST_BYTES
from hakubooru.image.holdings import LostArchiveError, index_of
from hakubooru.image.index import TarIndex, read_indexed
from hakubooru.image.layouts import md5_of, post_of
from hakubooru.image.published import StaleIndexError
from hakubooru.image.sources import Archive, find_archives
from hakubooru.image.tar import DamagedTarError, is_compressed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from hakubooru.image.tar import Member
    from hakubooru.store.store import Store

    _Files: TypeAlias = dict[int | bytes, str]

_FEW: Final = 64
"""Up to this many archives are searched for a post that none with a fitting name holds."""


class NoImageError(Exception):
    """Raised for a post without a readable image; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Place:
    """The place of an image. It can be sent to another process."""

    archive: Archive
    number: int
    """The post."""
    name: str
    """The file's name in a folder; in a tar, the member's name if its index has it, or else ""."""
    offset: int = 0
    """The byte of the tar where the image starts."""
    size: int = 0
    """The bytes of the image in the tar."""
    md5: bytes = b""
    """The MD5 that the image is named by, 16 bytes; empty if it is named by its post."""

    @property
    def key(self) -> str:
        """A text that is the same as long as the archive is; for an image in a folder, as long as its file is."""
        archive, stamp = self.archive, str(self.archive.stamp)
        if archive.is_folder:
            with suppress(OSError):  # `read` says so
                status = Path(archive.path, self.name).stat()
                stamp = f"{status.st_mtime_ns} {status.st_size}"
        return f"{archive.path}\n{stamp}\n{self.number}\n{self.offset}\n{self.size}"

    def read(self) -> bytes:
        """Read the image file.

        Raises:
            NoImageError: the archive cannot be read, or has changed.
        """
        try:
            return self._read()
        except (OSError, DamagedTarError, StaleIndexError) as error:
            raise NoImageError(f"{self.archive.name} cannot be read: {error}") from error

    def _read(self) -> bytes:
        path = self.archive.path
        if self.archive.is_folder:
            with Path(path, self.name).open("rb") as file:
                return file.read(LARGEST_BYTES)
        if self.size > LARGEST_BYTES:
            raise NoImageError(f"larger than {LARGEST_BYTES // 2**20} MiB")
        if self.archive.kind != "tar" or (not is_remote(path) and is_compressed(path)):
            # Places in a compressed archive are known only by reading up to them.
            for _, data in READERS[self.archive.kind](path, self._is_its_image):
                return data
            raise NoImageError(f"{self.archive.name} does not hold it any more")
        number, offset, size = np.array([[self.number], [self.offset], [self.size]], np.int64)
        index = TarIndex(number, offset, size, names={0: self.name} if self.name else {})
        return next(data for _, data in read_indexed(path, index, np.array([0])))

    def _is_its_image(self, member: Member) -> bool:
        if member.kind != "a file":
            return False
        return md5_of(member.name) == self.md5 if self.md5 else post_of(member.name) == self.number


class Shelf:
    """Finds the images of posts among archives and folders; any thread may use it.

    A post's image is looked for as an export does: in the archives whose names announce the post, in the order in which
    they count, and then, if there are not many archives, in the others.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]], *, listings: int = 256) -> None:
        """Search the places for archives; none of them is listed yet.

        Args:
            roots: the places.
            listings: how many archives' listings are kept in memory; one of 4,000 images in a tar takes 100 kB.

        Raises:
            SourceError: a place is missing or cannot be read, or no images were found at all.
        """
        self.roots = [str(root) for root in roots]
        self.archives = find_archives(roots)
        self._by_md5 = any(archive.by_md5 for archive in self.archives)
        claims = [archive.claim for archive in self.archives]
        self._claims = np.array([(claim.modulus, claim.rest, claim.low, claim.high) for claim in claims]).T
        self._listings: OrderedDict[str, TarIndex | _Files] = OrderedDict()
        self._most_listings = listings
        self._lock = Lock()

    def find(self, number: int, store: Store | None = None) -> Place:
        """Find the image of a post.

        Args:
            number: the post.
            store: knows the MD5s of posts, by which images may be named; without it, only images named by posts are found.

        Raises:
            NoImageError: no archive holds it.
        """
        md5 = _md5_in(store, number) if store is not None and self._by_md5 else b""
        for archive in self._candidates(number):
            try:
                listing = self._listing(archive)
            except LostArchiveError as error:
                raise NoImageError(f"{archive.name} cannot be read: {error}") from error
            place = _place_in(archive, listing, number, md5)
            if place is not None:
                return place
        raise NoImageError("no archive holds it")

    def _candidates(self, number: int) -> Iterator[Archive]:
        modulus, rest, low, high = self._claims
        announced = (low <= number) & (number < high) & (number % modulus == rest)
        yield from (self.archives[row] for row in np.flatnonzero(announced))
        if len(self.archives) <= _FEW:
            yield from (self.archives[row] for row in np.flatnonzero(~announced))

    def _listing(self, archive: Archive) -> TarIndex | _Files:
        with self._lock:
            if archive.key in self._listings:
                self._listings.move_to_end(archive.key)
                return self._listings[archive.key]
        listing = _files_in(archive) if archive.is_folder else index_of(archive)
        with self._lock:
            self._listings[archive.key] = listing
            while len(self._listings) > self._most_listings:
                self._listings.popitem(last=False)
        return listing


def _place_in(archive: Archive, listing: TarIndex | _Files, number: int, md5: bytes) -> Place | None:
    if isinstance(listing, dict):
        name = listing.get(number) or listing.get(md5)
        return Place(archive, number, name) if name else None
    named = np.flatnonzero(listing.ids == number)
    by_md5 = (
        np.flatnonzero(np.isin(listing.ids, -1 - np.flatnonzero(listing.hashes == md5))) if md5 else named
    )
    rows = named if len(named) else by_md5
    if not len(rows):
        return None
    row = int(rows[0])  # of two, an export takes the first
    name, offset, size = listing.names.get(row, ""), int(listing.offsets[row]), int(listing.sizes[row])
    return Place(archive, number, name, offset, size, b"" if len(named) else md5)


def _md5_in(store: Store, number: int) -> bytes:
    """The MD5 of a post, 16 bytes; empty if it is not known."""
    for (text,) in store.rows("SELECT md5 FROM post WHERE id = ?", [number]):
        return md5_of(f"{text}.jpg") or b""
    return b""


def _files_in(archive: Archive) -> _Files:
    """The names of the image files in a folder, by post or MD5; of two, the first in the order of names."""
    try:
        names = sorted(entry.name for entry in os.scandir(archive.path) if entry.is_file())
    except OSError as error:
        raise LostArchiveError(archive, error.strerror or str(error)) from error
    files: _Files = {}
    for name in names:
        key = md5_of(name) or post_of(name)
        if key is not None:
            files.setdefault(key, name)
    return files
