"""Where our own indexes are kept that cannot lie beside their archives: in the user's cache.

A file of the cache that was not used for a month is removed when another is written.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from hakubooru.files import remove_unused
from hakubooru.image.layouts import INDEX_SUFFIX

if TYPE_CHECKING:
    from pathlib import Path


def in_cache(path: str) -> Path:
    """Return the place in the user's cache, for the absolute path of an archive, or its URL."""
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()
    return _folder() / f"{name}{INDEX_SUFFIX}"


def prepare(place: Path) -> None:
    """Make the folder of the cache, if a place is there, and remove what was not used for a month.

    Raises:
        OSError: the cache cannot be written.
    """
    if place.parent == _folder():
        _prune(place.parent)


@lru_cache(1)
def _prune(folder: Path) -> None:
    """Once in a process, because the folder may have thousands of files."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_unused(folder)


def _folder() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 - needed only without an index beside the archive

    return user_cache_path("hakubooru") / "index"
