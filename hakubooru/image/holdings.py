"""Learning which posts archives hold, from their indexes or headers and never from their names, and counting them.

The name of an archive only decides which posts are read from it first. Before a post is called missing, `export` and
`sources` search every archive that could hold it. The index of a tar on a disk is kept, so that the tar is searched
once. The index of a remote archive is fetched each time.

`census` counts a post of a selection in the archive that an export takes it from: the first archive that holds it and
whose name announces it, or else the first archive that holds it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import as_ids, distinct
from hakubooru.errors import SourceError
from hakubooru.image.index import TarIndex, build_index, load_index, save_index, state_of
from hakubooru.image.tar import is_compressed
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.image.sources import Archive

_AT_ONCE: Final = 4
"""How many archives are searched at a time; most of the time is spent waiting for a disk or a server."""


class LostArchiveError(Exception):
    """Raised for an archive that cannot be read; the message is the reason."""

    def __init__(self, archive: Archive, reason: str) -> None:
        super().__init__(reason)
        self.archive = archive


def index_of(archive: Archive) -> TarIndex:
    """Return the index of an archive: from its list of files, the index of a tar, or else the tar's headers.

    Raises:
        LostArchiveError: the archive cannot be read.
    """
    try:
        if archive.kind != "tar":
            return build_index(archive.path, archive.kind)
        size = archive.stamp if archive.is_remote else None
        return load_index(archive.path, size, archive.index) or _new_index(archive.path)
    except OSError as error:
        raise LostArchiveError(archive, error.strerror or str(error)) from error


def indexes_of(archives: Sequence[Archive]) -> Iterator[tuple[Archive, TarIndex]]:
    """Yield archives with their indexes, in order; some are searched ahead.

    Raises:
        LostArchiveError: an archive cannot be read.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from zip(archives, pool.map(index_of, archives), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def ids_in(ids: Ids, index: TarIndex) -> Ids:
    """Return the ids among ascending ids that an archive holds."""
    return np.intersect1d(ids, distinct(index.ids), assume_unique=True)


@dataclass(kw_only=True)
class Group:
    """Counts over archives of one kind that follow each other in the order in which they count."""

    root: int
    """The index of the searched place among all searched places."""
    layout: str
    """The layout in words."""
    update: str
    """`update 20240522`, `update`, or "" for originals."""
    archives: int = 0
    """How many archives there are."""
    images: int = 0
    """How many members are named as images of posts; whether they are whole shows when they are read."""
    bytes: int = 0
    """Bytes of the images."""
    wanted: int = 0
    """How many posts of a selection an export takes from these archives."""
    unread: int = 0
    """How many images are empty, or of a format that cannot be read; they are not in `images`."""
    repeated: int = 0
    """How many images are of a post that their archive holds already; an export takes the first."""
    by_md5: int = 0
    """How many images are named by their MD5; only a database knows their posts, and they are not in `wanted`."""
    strange: int = 0
    """How many members are not images of posts."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """The archives that cannot be read to their end: name, and what is wrong."""


def census(archives: Sequence[Archive], ids: Iterable[int] | None = None) -> list[Group]:
    """Count what archives hold.

    Args:
        archives: the archives, in the order in which they count.
        ids: the posts of a selection, or any other list of ids, as `among` takes it.

    Raises:
        InputError: an entry of `ids` is not an id.
        SourceError: an archive cannot be read.
    """
    selected = distinct(as_ids(() if ids is None else ids))
    groups: list[Group] = []
    holdings: list[tuple[Group, Archive, Ids]] = []
    kind = None
    try:
        with progress(total=len(archives), unit=" archives") as bar:
            for archive, index in indexes_of(archives):
                if (now := _kind(archive)) != kind:
                    kind = now
                    groups.append(Group(root=now[0], layout=now[1], update=now[2]))
                _count(groups[-1], archive, index)
                holdings.append(
                    (
                        groups[-1],
                        archive,
                        np.intersect1d(selected, distinct(index.readable()), assume_unique=True),
                    )
                )
                bar.update()
    except LostArchiveError as error:
        raise SourceError(f"{error.archive.path} cannot be read: {error}") from error
    _attribute(holdings, selected)
    return groups


def _kind(archive: Archive) -> tuple[int, str, str]:
    return archive.root, archive.layout, f"update {archive.date}".rstrip() if archive.is_update else ""


def _count(group: Group, archive: Archive, index: TarIndex) -> None:
    group.archives += 1
    ids = index.ids[index.ids >= 0]
    group.images += len(index.ids) - len(index.unread)
    group.unread += len(index.unread)
    group.repeated += len(ids) - len(distinct(ids))
    group.by_md5 += len(index.hashes)
    group.bytes += int(index.sizes.sum())
    group.strange += len(index.strange)
    if index.damage:
        group.damaged.append((archive.name, index.damage))


def _attribute(holdings: Sequence[tuple[Group, Archive, Ids]], ids: Ids) -> None:
    """Count each post of a selection once: first by the names of archives, then by what they hold."""
    is_counted = np.zeros(len(ids), np.bool_)
    for by_name in (True, False):
        for group, archive, some in holdings:
            places = np.searchsorted(ids, archive.claim.of(some) if by_name else some)
            group.wanted += int(np.count_nonzero(~is_counted[places]))
            is_counted[places] = True


def _new_index(path: str) -> TarIndex:
    state = state_of(path)
    index = build_index(path)
    if not is_compressed(path):
        save_index(path, index, state)
    return index
