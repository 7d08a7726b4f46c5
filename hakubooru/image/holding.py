"""Learning which posts archives hold, from their indexes or headers and never from their names.

The name of an archive only decides which posts are read from it first. Before a post is called missing, `export` and
`sources` search every archive that could hold it. The index of a tar on a disk is kept, so that the tar is searched
once. The index of a remote archive is fetched each time.
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
"""How many archives are searched at a time; most of the time is spent waiting for a disk or a server."""


class LostArchiveError(Exception):
    """Raised for an archive that cannot be read; the message is the reason."""

    def __init__(self, archive: Archive, reason: str) -> None:
        super().__init__(reason)
        self.archive = archive


def index_of(archive: Archive) -> TarIndex:
    """Return the index of an archive: from the files of a folder, the index of a tar, or else the tar's headers.

    Raises:
        LostArchiveError: the archive cannot be read.
    """
    try:
        if archive.is_folder:
            recorder = Recorder()
            for _ in read_folder(archive.path, recorder.take_down):
                pass
            return recorder.index()
        size = archive.stamp if is_remote(archive.path) else None
        return load_index(archive.path, size) or _new_index(archive.path)
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


def held(ids: Ids, index: TarIndex) -> Ids:
    """Return the ids among ascending ids that an archive holds."""
    return np.intersect1d(ids, index.ids)


def _new_index(path: str) -> TarIndex:
    state = state_of(path)
    index = build_index(path)
    if not is_compressed(path):
        save_index(path, index, state)
    return index
