"""Finding the archives and folders that hold images, and in which order they count.

Updates count before originals: those with a date first, the newest before all, and of one date the last name
(`batch-10` before `batch-9`). Originals count by the places that were given, and within one by their layers. Archives
that cannot hold the same posts, by their names, form a wave: they can be read side by side.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.image.names import (
    EVERYTHING,
    TAR_NAME,
    ArchiveName,
    Claim,
    StrangeNameError,
    natural,
    post_id,
    read_archive_name,
    storable,
    update_date,
)
from hakubooru.image.remote import is_remote, list_tars
from hakubooru.image.tar import DamagedTarError, Member, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UPDATE: Final = re.compile(r"updates?(?![^\W\d_])", re.IGNORECASE)
_TRIED: Final = 3
"""Posts of a tar by which its name is tried: of a tar that is named by another rule, the first agrees by chance."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A tar, or a folder of image files."""

    path: str
    name: str
    """The path below the folder that was searched, with `/` on every system: stable when the folder moves."""
    is_folder: bool
    is_update: bool
    date: str
    """Of an update: `20240522`, or `202405`, or "" where neither it nor a folder above it is named by a date."""
    claim: Claim
    layer: int
    layout: str
    root: int
    """The place of the searched folder among those given."""
    stamp: int
    """Changes when the contents do: bytes of a tar, nanoseconds of a folder's last change."""

    @property
    def key(self) -> str:
        """What an archive is known by from one run to the next."""
        return f"{self.root}/{storable(self.name)}"

    def _order(self) -> tuple[int, ...]:
        """Ascending: what counts more comes first, whatever its name."""
        if self.is_update:
            # A month alone is older than its days: what it was named for can have been made at its start.
            return (0, -int(self.date.ljust(8, "0")), self.root)
        return (1, self.root, -self.layer)


def find_archives(
    roots: Sequence[str | os.PathLike[str]], skip: str | os.PathLike[str] | None = None
) -> list[Archive]:
    """Search folders for tars and folders of images, once, and put them in the order in which they count.

    A name decides which posts are looked for in an archive first, and whether it is an update; which posts it holds
    is learned by `holding`. A name that does not tell of the first posts in its archive decides nothing. Of remote
    archives nothing is read here.

    Args:
        roots: folders to search with all that is below them, or tars; URLs that fsspec knows, of tars with an index
            beside them (`0000.json`). Links to files and folders are followed,
            names that begin with a dot are passed over.
        skip: a folder to leave out, such as the one that is written to.

    Raises:
        SourceError: a root is missing or cannot be read, or nothing at all was found.
    """
    skipped = None if skip is None else os.path.realpath(skip)
    found: list[Archive] = []
    for number, root in enumerate(roots):
        if is_remote(root):
            found += _search_remote(str(root), number)
            continue
        path = Path(root)
        if not path.exists():
            raise SourceError(
                f"{path}, given as a place of images, does not exist; correct the path, or mount the disk"
            )
        try:
            if path.is_dir():
                found += _search(path, number, skipped)
            else:
                found.append(_archive(path, path.name, number, path.absolute().parts[-3:-1]))
        except OSError as error:
            raise SourceError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    if not found:
        places = ", ".join(str(root) for root in roots) or "no folder"
        raise SourceError(
            f"no images were found in {places}: neither tar archives (data-0123.tar, 0123.tar, data-4.tar, "
            f"12000.tar) nor files named ID.jpg, ID.png, ID.webp, ID.avif in a folder or below it"
        )
    return _in_order(found)


def _in_order(found: Sequence[Archive]) -> list[Archive]:
    updates = [archive for archive in found if archive.is_update]
    originals = [archive for archive in found if not archive.is_update]
    # Updates that no date tells apart are numbered as they appear, so that the last has the newest images.
    updates.sort(key=_by_name, reverse=True)
    originals.sort(key=_by_name)
    return sorted(updates + originals, key=Archive._order)  # noqa: SLF001 - our own


def _by_name(archive: Archive) -> tuple[object, str]:
    return natural(archive.name), archive.name  # 01 and 1 are the same number


def waves(archives: Sequence[Archive]) -> list[list[Archive]]:
    """Group archives so that no two of a wave can hold the same post, and none comes before one that counts more.

    Args:
        archives: in the order in which they count.
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


def _search(root: Path, number: int, skipped: str | None) -> Iterator[Archive]:
    # An update may be what the user points at: the last two names of the root count with those below it.
    above = root.absolute().parts[-2:]
    seen: set[str] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        real = os.path.realpath(folder)
        if real in seen or real == skipped:
            continue
        seen.add(real)
        first: int | None = None
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    pending.append(folder / entry.name)
                elif TAR_NAME.search(entry.name):
                    path = folder / entry.name
                    yield _archive(path, path.relative_to(root).as_posix(), number, above)
                elif first is None:
                    first = _id(entry.name)
        if first is not None:
            yield _archive(folder, folder.relative_to(root).as_posix(), number, above, first)


def _search_remote(root: str, number: int) -> Iterator[Archive]:
    above = tuple(root.rstrip("/").split("/")[-2:])
    for url, size in list_tars(root):
        name = url.removeprefix(root).lstrip("/") or url.rpartition("/")[2]
        known = read_archive_name(TAR_NAME.sub("", url.rpartition("/")[2]))
        yield _known(url, name, known, root=number, above=above, stamp=size, is_folder=False)


def _archive(path: Path, name: str, number: int, above: tuple[str, ...], first: int | None = None) -> Archive:
    """What is known of a tar, or of a folder of which a post is given."""
    is_folder = first is not None
    known = read_archive_name(path.name if is_folder else TAR_NAME.sub("", path.name))
    if is_folder and known.claim.modulus == 10:
        # Many a folder is named so (mine-1, batch-2), and one image in ten is in accord with it by chance.
        is_believed = _holds_updates((*above, *name.split("/"))) and _has_only(path, known.claim)
    else:
        posts = [first] if first is not None else _first_ids(str(path))
        is_believed = all(map(known.claim.has, posts))
    if not is_believed:
        known = ArchiveName(EVERYTHING, 0, "unknown")
    status = path.stat()
    # A tar that was written anew can be as large as before; a set is also copied without the times of its files.
    stamp = status.st_mtime_ns if is_folder else status.st_mtime_ns + status.st_size
    return _known(str(path), name, known, root=number, above=above, stamp=stamp, is_folder=is_folder)


def _known(
    path: str,
    name: str,
    known: ArchiveName,
    *,
    root: int,
    above: tuple[str, ...],
    stamp: int,
    is_folder: bool,
) -> Archive:
    parts = (*above, *name.split("/"))
    is_update = known.claim.modulus == 10 or _holds_updates(parts)
    return Archive(
        path=path,
        name=name,
        is_folder=is_folder,
        is_update=is_update,
        date=update_date(parts) if is_update else "",
        claim=known.claim,
        layer=known.layer,
        layout=known.layout + (", folders" if is_folder else ", tars"),
        root=root,
        stamp=stamp,
    )


def _holds_updates(parts: Sequence[str]) -> bool:
    """Whether one of some names is `update` or `updates`, or that and more (`updates_2024`, not `updated_art`)."""
    return any(_UPDATE.match(part) for part in parts)


def _has_only(folder: Path, claim: Claim) -> bool:
    with os.scandir(folder) as entries:
        numbers = [_id(entry.name) for entry in entries]
    return all(claim.has(number) for number in numbers if number is not None)


class _Found(Exception):  # noqa: N818 - not an error
    pass


def _first_ids(path: str) -> list[int]:
    """The first posts of a tar."""
    posts: list[int] = []

    def stop_at_last(member: Member) -> bool:
        number = _id(member.name)
        if number is not None:
            posts.append(number)
        if len(posts) == _TRIED:
            raise _Found
        return False

    with contextlib.suppress(_Found, DamagedTarError):
        for _ in read_tar(path, stop_at_last):
            pass
    return posts


def _id(name: str) -> int | None:
    try:
        return post_id(name)
    except StrangeNameError:
        return None
