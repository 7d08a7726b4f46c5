"""Finding the archives and folders that hold images, and the order in which they count.

If several archives hold a post, its image is taken from the first in this order:

- Updates come before originals. Updates with a date come first, the newest before the others. Of one date, the last
  name comes first (`batch-10` before `batch-9`).
- Originals come in the order of the searched places, and within a place by their layers.

Archives that cannot hold the same posts, by their names, form a wave: they can be read side by side.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.files import Places, is_remote, listed
from hakubooru.image.containers import READERS, image_columns, is_archive
from hakubooru.image.folders import check_apart
from hakubooru.image.index import load_index
from hakubooru.image.layouts import (
    ARCHIVE_NAME,
    LAYOUTS,
    TAR_NAME,
    UNKNOWN,
    ArchiveName,
    Claim,
    archive_kind,
    md5_of,
    post_of,
    read_archive_name,
    storable,
    update_date,
)
from hakubooru.image.published import Listing, files_below, local_index
from hakubooru.image.tar import DamagedTarError, Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.image.remote import RemoteTar

_UPDATE: Final = re.compile(r"updates?(?![^\W\d_])", re.IGNORECASE)
_PLURALS: Final = {"tar": "tars", "folder": "folders", "zip": "zip archives", "parquet": "Parquet files"}
_BY_MD5: Final = -1
"""Stands for the post of an image that is named by its MD5."""
_TRIED: Final = 3
"""How many posts of a tar its name is checked with; the first one alone could agree by chance."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A tar, a folder of image files, a zip archive or a Parquet file."""

    path: str
    """The path or URL."""
    name: str
    """The path below the searched folder, with `/` on every system; it stays the same when the folder moves."""
    kind: str = "tar"
    """`tar`, `folder`, `zip` or `parquet`."""
    by_md5: bool = False
    """Whether images are named by their MD5, and the database knows their posts."""
    is_update: bool
    """Whether this is an update, whose images count before those of originals."""
    date: str
    """The date of an update, `20240522` or `202405`; "" if its name and the folders above it have no date."""
    claim: Claim
    """The posts that the name announces."""
    layer: int
    """The leading digit of `data-0NNN`; a higher layer counts before a lower one."""
    layout: str
    """The layout in words."""
    root: int
    """The index of the searched place among all searched places."""
    index: str = ""
    """The path or URL of the tar's published index; "" if there is none, or the archive is a folder."""
    stamp: int
    """A number that changes when the contents do: from time and size of a tar, or from the time of a folder."""
    is_remote: bool = False
    """Whether the path is a URL; then the stamp is the size of the tar."""

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of image files."""
        return self.kind == "folder"

    @cached_property
    def key(self) -> str:
        """The name of the archive in journals, the same in every run."""
        return f"{self.root}/{storable(self.name)}"

    def _order(self) -> tuple[int, ...]:
        """Return a sort key: archives that count more come first."""
        if self.is_update:
            # A month without a day counts as older than its days: the update may be from the month's first day.
            return (0, -int(self.date.ljust(8, "0")), self.root)
        return (1, self.root, -self.layer)


def find_archives(
    roots: Places,
    skip: str | os.PathLike[str] | None = None,
    *,
    indexes: Places = (),
) -> list[Archive]:
    """Search folders for tars and folders of images, once, and return them in the order in which they count.

    The name of an archive decides which posts are looked for in it first, and whether it is an update. A name that
    disagrees with the first posts in the archive is ignored. Which posts an archive really holds is learned later, by
    `holdings`. Of a URL, one index is read: it shows whether the images of its tars are named by their MD5.

    The environment variable `HAKUBOORU_REMOTE_TIMEOUT` says how many seconds a server may take to answer (60), and
    `HAKUBOORU_REMOTE_WAIT` how many pass before a second attempt (0.5); each further wait is twice as long.

    Args:
        roots: one or several folders, searched at any depth, or tars, or URLs that fsspec can read, of tars with published indexes
            (`0000.json`). Links to files and folders are followed. Names that begin with a dot are skipped.
        skip: a folder to leave out, such as the folder of the export.
        indexes: folders and URLs that hold published indexes which are not beside their tars, or in a folder `index`.

    Raises:
        SourceError: a place is missing, cannot be read, or is `skip`, or no images were found at all.
    """
    roots, indexes = listed(roots), listed(indexes)
    skipped = None if skip is None else os.path.realpath(skip)
    archives: list[Archive] = []
    listing = Listing(files_below([str(place) for place in indexes if not is_remote(place)]))
    for number, root in enumerate(roots):
        if is_remote(root):
            above = tuple(str(root).rstrip("/").split("/")[-2:])
            archives += _search_remote(str(root), _Root(number, above, listing), list(map(str, indexes)))
            continue
        path = Path(root)
        if not path.exists():
            raise SourceError(
                f"the place of images {path} does not exist; correct the path, or mount the disk"
            )
        check_apart(path, skipped)
        try:
            if path.is_dir():
                archives += _search(path, _Root(number, path.absolute().parts[-2:], listing), skipped)
            elif not is_archive(root):
                raise SourceError(f"{path} is no folder, tar, zip archive or Parquet file; name one")
            else:
                place = _Root(number, path.absolute().parts[-3:-1], listing)
                archives.append(place.file(path, path.name, archive_kind(path.name) or "tar"))
        except OSError as error:
            raise SourceError(
                f"{error.filename or path} cannot be read ({error.strerror}); change its permissions, or name "
                "another place"
            ) from error
    if not archives:
        raise SourceError(
            f"no images were found in {', '.join(map(str, roots)) or 'no folder'}; name a folder that holds tar archives ("
            f"{', '.join(f'{layout.example}.tar' for layout in LAYOUTS)}), or files named ID.jpg, ID.png, ID.webp, "
            "ID.avif, at any depth"
        )
    searched = {archive.root for archive in archives}
    for root in (root for place, root in enumerate(roots) if place not in searched):
        warnings.warn(
            f"no images were found in {root}, a place of images; correct the path, mount the disk, or leave the place out",
            stacklevel=2,
        )
    return _in_order(archives)


def _in_order(archives: Sequence[Archive]) -> list[Archive]:
    # Updates without different dates are numbered as they appear, so the last has the newest images.
    updates = sorted((one for one in archives if one.is_update), key=_by_name, reverse=True)
    originals = sorted((one for one in archives if not one.is_update), key=_by_name)
    return sorted(updates + originals, key=Archive._order)  # noqa: SLF001 - our own


def _by_name(archive: Archive) -> tuple[object, str]:
    """Return a sort key by which `2` comes before `10`."""
    parts = re.split(r"(\d+)", archive.name)
    numbers = [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
    return numbers, archive.name  # 01 and 1 are the same number


def waves(archives: Sequence[Archive]) -> list[list[Archive]]:
    """Group archives into waves that can each be read in parallel.

    No two archives of a wave can hold the same post, and no archive comes before one that counts more.

    Args:
        archives: the archives, in the order in which they count.
    """
    grouped: list[list[Archive]] = []
    # The last wave so far that can hold posts of each rest of id % 1000, and of each range of ids.
    of_rest = np.full(1000, -1)
    of_range: dict[int, int] = {}
    for archive in archives:
        claim = archive.claim
        rests = of_rest[claim.rest :: claim.modulus]
        if claim.is_range:
            level = 1 + max(int(of_rest.max()), of_range.get(claim.low, -1))
            of_range[claim.low] = level
        else:
            level = 1 + max(int(rests.max()), *of_range.values(), -1)
            rests[:] = level
        if level == len(grouped):
            grouped.append([])
        grouped[level].append(archive)
    return grouped


@dataclass(frozen=True)
class _Root:
    """A place that is searched."""

    number: int
    """Its index among all places."""
    above: tuple[str, ...]
    """The last names of its path: the user may name the folder of an update itself."""
    listing: Listing
    """Published indexes in other places."""

    def archive(
        self,
        path: str,
        name: str,
        announced: ArchiveName,
        *,
        stamp: int,
        kind: str = "tar",
        index: str = "",
        by_md5: bool = False,
        is_remote: bool = False,
    ) -> Archive:
        parts = (*self.above, *name.split("/"))
        is_update = announced.claim.modulus == 10 or _holds_updates(parts)
        return Archive(
            path=path,
            name=name,
            kind=kind,
            by_md5=by_md5,
            is_update=is_update,
            date=update_date(parts) if is_update else "",
            claim=announced.claim,
            layer=announced.layer,
            layout=f"{announced.layout}, {_PLURALS[kind]}",
            root=self.number,
            index=index,
            stamp=stamp,
            is_remote=is_remote,
        )

    def folder(self, path: Path, name: str, first: int, *, by_md5: bool) -> Archive:
        """Return the archive of a folder, one image of which has the number `first`; check its name."""
        announced = read_archive_name(path.name)
        is_believed = announced.claim.has(first)
        if announced.claim.modulus == 10:
            # Many folders have such names (mine-1, batch-2), and one image in ten agrees with them by chance.
            is_believed = _holds_updates((*self.above, *name.split("/"))) and _has_only(path, announced.claim)
        stamp = path.stat().st_mtime_ns
        return self.archive(
            str(path),
            name,
            announced if is_believed else UNKNOWN,
            stamp=stamp,
            kind="folder",
            by_md5=by_md5,
        )

    def file(self, path: Path, name: str, kind: str) -> Archive:
        """Return the archive of a tar, zip or Parquet file; check its name with its first posts."""
        status = path.stat()
        # Time and size together: a tar that was written again can have its earlier size, and a copied tar any time.
        stamp = status.st_mtime_ns + status.st_size
        numbers = _first_numbers(str(path), kind, stamp)
        announced = read_archive_name(ARCHIVE_NAME.sub("", path.name))
        if not all(map(announced.claim.has, numbers)):
            announced = UNKNOWN
        index = local_index(path, self.listing) if kind == "tar" else ""
        return self.archive(
            str(path), name, announced, stamp=stamp, kind=kind, index=index, by_md5=_BY_MD5 in numbers
        )


def _search(root: Path, place: _Root, skipped: str | None) -> Iterator[Archive]:
    seen: set[str] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        real = os.path.realpath(folder)
        if real in seen or real == skipped:
            continue
        seen.add(real)
        yield from _archives_in(folder, root, place, pending)


def _archives_in(folder: Path, root: Path, place: _Root, pending: list[Path]) -> Iterator[Archive]:
    """Yield the archives in a folder, and the folder itself if it holds images; add its folders to `pending`."""
    first: int | None = None
    by_md5 = False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                pending.append(folder / entry.name)
            elif kind := archive_kind(entry.name):
                path = folder / entry.name
                if kind != "parquet" or _has_images(path):
                    yield place.file(path, path.relative_to(root).as_posix(), kind)
            elif first is None:
                first = _number(entry.name)
                by_md5 = first == _BY_MD5
            elif not by_md5:
                by_md5 = md5_of(entry.name) is not None
    if first is not None:
        yield place.folder(folder, folder.relative_to(root).as_posix(), first, by_md5=by_md5)


def _has_images(path: Path) -> bool:
    """Whether a Parquet file has images, or is damaged, which is told when it is read."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return image_columns(parquet.read_schema(path)) is not None
    except pa.ArrowException:
        return True


def _search_remote(root: str, place: _Root, indexes: Sequence[str]) -> Iterator[Archive]:
    from hakubooru.image.remote import list_tars  # noqa: PLC0415 - needed only for URLs

    tars = list_tars(root, indexes)
    by_md5 = _have_md5s(tars)
    for tar in tars:
        name = tar.url.removeprefix(root).lstrip("/") or tar.url.rpartition("/")[2]
        announced = UNKNOWN if by_md5 else read_archive_name(TAR_NAME.sub("", tar.url.rpartition("/")[2]))
        yield place.archive(
            tar.url, name, announced, stamp=tar.size, index=tar.index, by_md5=by_md5, is_remote=True
        )


def _have_md5s(tars: Sequence[RemoteTar]) -> bool:
    """Whether the first images of a set of remote tars are named by their MD5; all tars of a set have names of one form.

    An index that cannot be read is reported when its tar is read.
    """
    for tar in tars[:_TRIED]:
        with contextlib.suppress(OSError):
            index = load_index(tar.url, tar.size, tar.index)
            if index is not None and len(index.ids):
                return bool((index.ids[:_TRIED] < 0).any())
    return False


def _holds_updates(parts: Sequence[str]) -> bool:
    """Return whether a name is `update` or `updates`, or begins with that word (`updates_2024`, not `updated_art`)."""
    return any(_UPDATE.match(part) for part in parts)


def _has_only(folder: Path, claim: Claim) -> bool:
    with os.scandir(folder) as entries:
        numbers = [_number(entry.name) for entry in entries]
    return all(claim.has(number) for number in numbers if number is not None)


class _Enough(Exception):  # noqa: N818 - not an error
    """Ends the reading of a tar when enough posts were seen."""


@lru_cache(10_000)
def _first_numbers(path: str, kind: str, stamp: int) -> tuple[int, ...]:
    """Return the numbers of an archive's first images; while its stamp stays, it is read once in a process."""
    del stamp
    numbers: list[int] = []

    def stop_at_last(member: Member) -> bool:
        number = _number(member.name)
        if number is not None:
            numbers.append(number)
        if len(numbers) == _TRIED:
            raise _Enough
        return False

    with contextlib.suppress(_Enough, DamagedTarError):
        for _ in READERS[kind](path, stop_at_last):
            pass
    return tuple(numbers)


def _number(name: str) -> int | None:
    """Return the post of an image by its name, or `_BY_MD5`; None for any other file."""
    return post_of(name) if md5_of(name) is None else _BY_MD5
