"""What the folders of images hold: which layouts, how many images, how many of a selection.

Of a selection a post counts where an export takes it from: with the first archive whose name tells of it and that holds
it, and otherwise with the first that holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hakubooru.errors import SourceError
from hakubooru.image.holding import LostArchiveError, held, indexes_of
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids
    from hakubooru.image.index import TarIndex
    from hakubooru.image.sources import Archive


@dataclass(kw_only=True)
class Group:
    """Archives of one kind, in the order in which they count."""

    root: int
    """The place of the searched folder among those given."""
    layout: str
    update: str
    """`update 20240522`, `update`, or "" for originals."""
    archives: int = 0
    images: int = 0
    """By their names; whether they are whole shows when they are read."""
    bytes: int = 0
    wanted: int = 0
    """Of a selection, those that an export takes from here."""
    strange: int = 0
    """Members that no image is taken from."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Archives that cannot be read to their end: name, and what is wrong."""


def census(archives: Sequence[Archive], ids: Ids | None = None) -> list[Group]:
    """Count what archives hold.

    Args:
        archives: in the order in which they count.
        ids: a selection, ascending.

    Raises:
        SourceError: an archive cannot be read.
    """
    selected = np.empty(0, np.int64) if ids is None else ids
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
                holdings.append((groups[-1], archive, held(selected, index)))
                bar.update()
    except LostArchiveError as error:
        raise SourceError(f"{error.archive.path} cannot be read: {error}") from error
    _attribute(holdings, selected)
    return groups


def _kind(archive: Archive) -> tuple[int, str, str]:
    return archive.root, archive.layout, f"update {archive.date}".rstrip() if archive.is_update else ""


def _count(group: Group, archive: Archive, index: TarIndex) -> None:
    group.archives += 1
    group.images += len(index.ids)
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
