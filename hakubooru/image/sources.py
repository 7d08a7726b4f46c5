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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.image.layouts import (
    LAYOUTS,
    TAR_NAME,
    UNKNOWN,
    ArchiveName,
    Claim,
    StrangeNameError,
    is_remote,
    natural,
    post_id,
    read_archive_name,
    storable,
    update_date,
)
from hakubooru.image.tar import DamagedTarError, Member, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UPDATE: Final = re.compile(r"updates?(?![^\W\d_])", re.IGNORECASE)
_TRIED: Final = 3
"""How many posts of a tar its name is checked with; the first one alone could agree by chance."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A tar, or a folder of image files."""

    path: str
    """The path or URL."""
    name: str
    """The path below the searched folder, with `/` on every system; it stays the same when the folder moves."""
    is_folder: bool
    """Whether this is a folder of image files, and not a tar."""
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
    stamp: int
    """A number that changes when the contents do: from time and size of a tar, or from the time of a folder."""

    @property
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
    roots: Sequence[str | os.PathLike[str]], skip: str | os.PathLike[str] | None = None
) -> list[Archive]:
    """Search folders for tars and folders of images, once, and return them in the order in which they count.

    The name of an archive decides which posts are looked for in it first, and whether it is an update. A name that
    disagrees with the first posts in the archive is ignored. Which posts an archive really holds is learned later, by
    `holdings`. Remote archives are not read here.

    Args:
        roots: folders, searched at any depth, or tars, or URLs that fsspec can read, of tars with an index beside them
            (`0000.json`). Links to files and folders are followed. Names that begin with a dot are skipped.
        skip: a folder to leave out, such as the folder of the export.

    Raises:
        SourceError: a place is missing or cannot be read, or no images were found at all.
    """
    skipped = None if skip is None else os.path.realpath(skip)
    archives: list[Archive] = []
    for number, root in enumerate(roots):
        if is_remote(root):
            archives += _search_remote(str(root), number)
            continue
        path = Path(root)
        if not path.exists():
            raise SourceError(
                f"the place of images {path} does not exist; correct the path, or mount the disk"
            )
        try:
            if path.is_dir():
                archives += _search(path, number, skipped)
            else:
                archives.append(_local(path, path.name, number, path.absolute().parts[-3:-1]))
        except OSError as error:
            raise SourceError(
                f"{error.filename or path} cannot be read ({error.strerror}); change its permissions, or name "
                "another place"
            ) from error
    if not archives:
        places = ", ".join(str(root) for root in roots) or "no folder"
        raise SourceError(
            f"no images were found in {places}; name a folder that holds tar archives ("
            f"{', '.join(f'{layout.example}.tar' for layout in LAYOUTS)}), or files named ID.jpg, ID.png, ID.webp, "
            "ID.avif, at any depth"
        )
    return _in_order(archives)


def _in_order(archives: Sequence[Archive]) -> list[Archive]:
    updates = [archive for archive in archives if archive.is_update]
    originals = [archive for archive in archives if not archive.is_update]
    # Updates without different dates are numbered as they appear, so the last has the newest images.
    updates.sort(key=_by_name, reverse=True)
    originals.sort(key=_by_name)
    return sorted(updates + originals, key=Archive._order)  # noqa: SLF001 - our own


def _by_name(archive: Archive) -> tuple[object, str]:
    return natural(archive.name), archive.name  # 01 and 1 are the same number


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


def _search(root: Path, number: int, skipped: str | None) -> Iterator[Archive]:
    # The user may name the folder of an update itself, so the root's last two names are read like those below it.
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
                    yield _local(path, path.relative_to(root).as_posix(), number, above)
                elif first is None:
                    first = _id(entry.name)
        if first is not None:
            yield _local(folder, folder.relative_to(root).as_posix(), number, above, first)


def _search_remote(root: str, number: int) -> Iterator[Archive]:
    from hakubooru.image.remote import list_tars  # noqa: PLC0415 - needed only for URLs

    above = tuple(root.rstrip("/").split("/")[-2:])
    for url, size in list_tars(root):
        name = url.removeprefix(root).lstrip("/") or url.rpartition("/")[2]
        announced = read_archive_name(TAR_NAME.sub("", url.rpartition("/")[2]))
        yield _archive(url, name, announced, root=number, above=above, stamp=size, is_folder=False)


def _local(path: Path, name: str, number: int, above: tuple[str, ...], first: int | None = None) -> Archive:
    """Return the archive of a tar, or of a folder whose first post is `first`; check its name with its first posts."""
    is_folder = first is not None
    announced = read_archive_name(path.name if is_folder else TAR_NAME.sub("", path.name))
    if is_folder and announced.claim.modulus == 10:
        # Many folders have such names (mine-1, batch-2), and one image in ten agrees with them by chance.
        is_believed = _holds_updates((*above, *name.split("/"))) and _has_only(path, announced.claim)
    else:
        posts = [first] if first is not None else _first_ids(str(path))
        is_believed = all(map(announced.claim.has, posts))
    if not is_believed:
        announced = UNKNOWN
    status = path.stat()
    # Time and size together: a tar that was written again can have its earlier size, and a copied tar any time.
    stamp = status.st_mtime_ns if is_folder else status.st_mtime_ns + status.st_size
    return _archive(str(path), name, announced, root=number, above=above, stamp=stamp, is_folder=is_folder)


def _archive(
    path: str,
    name: str,
    announced: ArchiveName,
    *,
    root: int,
    above: tuple[str, ...],
    stamp: int,
    is_folder: bool,
) -> Archive:
    parts = (*above, *name.split("/"))
    is_update = announced.claim.modulus == 10 or _holds_updates(parts)
    return Archive(
        path=path,
        name=name,
        is_folder=is_folder,
        is_update=is_update,
        date=update_date(parts) if is_update else "",
        claim=announced.claim,
        layer=announced.layer,
        layout=announced.layout + (", folders" if is_folder else ", tars"),
        root=root,
        stamp=stamp,
    )


def _holds_updates(parts: Sequence[str]) -> bool:
    """Return whether a name is `update` or `updates`, or begins with that word (`updates_2024`, not `updated_art`)."""
    return any(_UPDATE.match(part) for part in parts)


def _has_only(folder: Path, claim: Claim) -> bool:
    with os.scandir(folder) as entries:
        numbers = [_id(entry.name) for entry in entries]
    return all(claim.has(number) for number in numbers if number is not None)


class _Enough(Exception):  # noqa: N818 - not an error
    """Ends the reading of a tar when enough posts were seen."""


def _first_ids(path: str) -> list[int]:
    """Return the first posts of a tar."""
    posts: list[int] = []

    def stop_at_last(member: Member) -> bool:
        number = _id(member.name)
        if number is not None:
            posts.append(number)
        if len(posts) == _TRIED:
            raise _Enough
        return False

    with contextlib.suppress(_Enough, DamagedTarError):
        for _ in read_tar(path, stop_at_last):
            pass
    return posts


def _id(name: str) -> int | None:
    try:
        return post_id(name)
    except StrangeNameError:
        return None
