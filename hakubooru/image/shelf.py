"""Where the image of one post is: in which archive, and at which place in it."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.image.header import LARGEST_BYTES
from hakubooru.image.holdings import LostArchiveError, index_of
from hakubooru.image.index import TarIndex, read_indexed
from hakubooru.image.layouts import StrangeNameError, is_remote, post_id
from hakubooru.image.published import StaleIndexError
from hakubooru.image.sources import Archive, find_archives
from hakubooru.image.tar import DamagedTarError, is_compressed, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LISTINGS: Final = 256
"""How many archives' listings are kept in memory; one of 4,000 images in a tar takes 100 kB."""
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

    @property
    def key(self) -> str:
        """A text that is the same as long as the archive is."""
        archive = self.archive
        return f"{archive.path}\n{archive.stamp}\n{self.number}\n{self.offset}\n{self.size}"

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
        if not is_remote(path) and is_compressed(path):
            # Places in a compressed archive are known only by reading up to them.
            members = read_tar(path, lambda member: _post_of(member.name) == self.number)
            return next(data for _, data in members)
        number, offset, size = np.array([[self.number], [self.offset], [self.size]], np.int64)
        index = TarIndex(number, offset, size, names={0: self.name} if self.name else {})
        return next(data for _, data in read_indexed(path, index, np.array([0])))


class Shelf:
    """Finds the images of posts among archives and folders; any thread may use it.

    A post's image is looked for as an export does: in the archives whose names announce the post, in the order in which
    they count, and then, if there are not many archives, in the others.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]]) -> None:
        """Search the places for archives; none of them is listed yet.

        Raises:
            SourceError: a place is missing or cannot be read, or no images were found at all.
        """
        self.roots = [str(root) for root in roots]
        self.archives = [archive for archive in find_archives(roots) if archive.kind in ("folder", "tar")]
        claims = [archive.claim for archive in self.archives]
        self._claims = np.array([(claim.modulus, claim.rest, claim.low, claim.high) for claim in claims]).T
        self._listings: OrderedDict[str, TarIndex | dict[int, str]] = OrderedDict()
        self._lock = Lock()

    def find(self, number: int) -> Place:
        """Find the image of a post.

        Raises:
            NoImageError: no archive holds it.
        """
        for archive in self._candidates(number):
            try:
                listing = self._listing(archive)
            except LostArchiveError as error:
                raise NoImageError(f"{archive.name} cannot be read: {error}") from error
            place = _place_in(archive, listing, number)
            if place is not None:
                return place
        raise NoImageError("no archive holds it")

    def _candidates(self, number: int) -> Iterator[Archive]:
        modulus, rest, low, high = self._claims
        announced = (low <= number) & (number < high) & (number % modulus == rest)
        yield from (self.archives[row] for row in np.flatnonzero(announced))
        if len(self.archives) <= _FEW:
            yield from (self.archives[row] for row in np.flatnonzero(~announced))

    def _listing(self, archive: Archive) -> TarIndex | dict[int, str]:
        with self._lock:
            if archive.key in self._listings:
                self._listings.move_to_end(archive.key)
                return self._listings[archive.key]
        listing = _files_in(archive) if archive.is_folder else index_of(archive)
        with self._lock:
            self._listings[archive.key] = listing
            while len(self._listings) > _LISTINGS:
                self._listings.popitem(last=False)
        return listing


def _place_in(archive: Archive, listing: TarIndex | dict[int, str], number: int) -> Place | None:
    if isinstance(listing, dict):
        return Place(archive, number, listing[number]) if number in listing else None
    rows = np.flatnonzero(listing.ids == number)
    if not len(rows):
        return None
    row = int(rows[0])  # of two, an export takes the first
    return Place(
        archive, number, listing.names.get(row, ""), int(listing.offsets[row]), int(listing.sizes[row])
    )


def _files_in(archive: Archive) -> dict[int, str]:
    """The names of the image files in a folder, by post; of two, the first in the order of names."""
    try:
        names = sorted(entry.name for entry in os.scandir(archive.path) if entry.is_file())
    except OSError as error:
        raise LostArchiveError(archive, error.strerror or str(error)) from error
    files: dict[int, str] = {}
    for name in names:
        number = _post_of(name)
        if number is not None:
            files.setdefault(number, name)
    return files


def _post_of(name: str) -> int | None:
    try:
        return post_id(name)
    except StrangeNameError:
        return None
