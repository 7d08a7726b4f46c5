"""What the folders of images hold: which layouts, how many images, how many of a selection."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from hakubooru.image.folder import read_folder
from hakubooru.image.index import Recorder, build_index, load_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.arrays import Ids
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
    """Of a selection, those that no archive before had."""
    strange: int = 0
    """Members that no image is taken from."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """Archives that cannot be read to their end: name, and what is wrong."""


def census(archives: Sequence[Archive], ids: Ids | None = None) -> Iterator[Group]:
    """Count what archives hold; of tars the indexes are read where there are some, else the headers.

    Args:
        archives: in the order in which they count.
        ids: a selection, ascending.
    """
    left = np.ones(0 if ids is None else len(ids), np.bool_)
    with tqdm(total=len(archives), unit=" archives", disable=None) as bar:
        for (root, layout, update), some in groupby(archives, _kind):
            group = Group(root=root, layout=layout, update=update)
            for archive in some:
                _count(group, archive, ids, left)
                bar.update()
            yield group


def _kind(archive: Archive) -> tuple[int, str, str]:
    return archive.root, archive.layout, f"update {archive.date}".rstrip() if archive.is_update else ""


def _count(
    group: Group, archive: Archive, ids: Ids | None, left: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    if archive.is_folder:
        recorder = Recorder()

        for _ in read_folder(archive.path, recorder.take_down):
            pass
        index = recorder.index()
    else:
        index = load_index(archive.path) or build_index(archive.path)
    group.archives += 1
    group.images += len(index.ids)
    group.bytes += int(index.sizes.sum())
    group.strange += len(index.strange)
    if index.damage:
        group.damaged.append((archive.name, index.damage))
    if ids is not None and len(ids):
        held = left & np.isin(ids, index.ids)
        group.wanted += int(np.count_nonzero(held))
        left &= ~held
