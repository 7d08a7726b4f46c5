"""A cache of columns and selections, so that a notebook does not scan the file for every cell."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from hakubooru.engine.columns import FileColumns, SidecarColumns
from hakubooru.engine.sidecar import open_sidecar
from hakubooru.store.store import Store

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.select.steps import Step

_KEPT: Final = 8  # at the size of the whole file, 59 MB each


class Cache:
    """A cache of the numeric columns of a file and the ids of the last selections; invalid when the file changes."""

    def __init__(self, database: Store) -> None:
        self._path = database.path
        self._stamp = self._now()
        self.selections: OrderedDict[Step, Ids] = OrderedDict()
        """The ids of the last selections, as read-only arrays."""
        sidecar = open_sidecar(database.path)
        self.columns = FileColumns(database) if sidecar is None else SidecarColumns(database, sidecar)

    def is_valid(self) -> bool:
        """Whether the file has not changed since the cache was made."""
        return self._now() == self._stamp

    def put(self, step: Step, ids: Ids) -> None:
        """Cache the ids of a selection. The array becomes read-only."""
        ids.flags.writeable = False
        self.selections[step] = ids
        self.selections.move_to_end(step)
        while len(self.selections) > _KEPT:
            self.selections.popitem(last=False)

    def _now(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size


class CachedStore(Store):
    """An open metadata file with a cache of its columns and recent selections."""

    _cache: Cache | None = None
    images: Any = ()
    """Folders, tars or URLs that hold the posts' images, one or several; notebooks then show thumbnails."""

    @property
    def cache(self) -> Cache:
        """A cache of columns and recent selections. It is emptied when the file changes."""
        if self._cache is None or not self._cache.is_valid():
            self._cache = Cache(self)
        return self._cache
