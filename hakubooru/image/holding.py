"""What archives hold, learned from their indexes or their headers and never from their names.

A name decides what is read first. Before a post is called missing, every archive that could hold it is looked into
here, by `export` and by `sources` alike. What is learned of a tar on a disk is kept as an index, so that it is learned
once; the index of a remote archive is fetched each time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.image.folder import read_folder
from hakubooru.image.index import Recorder, TarIndex, build_index, load_index, save_index, state_of
from hakubooru.image.remote import is_remote
from hakubooru.image.tar import is_compressed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.image.sources import Archive

_AT_ONCE: Final = 4
"""Archives that are looked into at a time: what takes long is to wait for a disk or a server."""


class LostArchiveError(Exception):
    """An archive that cannot be read; the message is the reason."""

    def __init__(self, archive: Archive, reason: str) -> None:
        super().__init__(reason)
        self.archive = archive


def index_of(archive: Archive) -> TarIndex:
    """What an archive holds: a folder by its files, a tar by its index, or else by its headers.

    Raises:
        LostArchiveError: it cannot be read.
    """
    try:
        if archive.is_folder:
            recorder = Recorder()
            for _ in read_folder(archive.path, recorder.take_down):
                pass
            return recorder.index()
        size = archive.stamp if is_remote(archive.path) else None
        return load_index(archive.path, size) or _learned(archive.path)
    except OSError as error:
        raise LostArchiveError(archive, error.strerror or str(error)) from error


def indexes_of(archives: Sequence[Archive]) -> Iterator[tuple[Archive, TarIndex]]:
    """Archives with what they hold, in their order, some looked into ahead.

    Raises:
        LostArchiveError: one cannot be read.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from zip(archives, pool.map(index_of, archives), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def held(ids: Ids, index: TarIndex) -> Ids:
    """Those of ascending ids that an archive holds."""
    return np.intersect1d(ids, index.ids)


def _learned(path: str) -> TarIndex:
    state = state_of(path)
    index = build_index(path)
    if not is_compressed(path):
        save_index(path, index, state)
    return index
