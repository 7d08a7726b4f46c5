"""The posts of images that are named by their MD5, as the database has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids

MD5: Final = np.dtype("S16")
"""An MD5 as 16 bytes; NumPy drops zeros at the end, and two MD5s stay different nevertheless."""


@dataclass(frozen=True)
class Hashes:
    """MD5s and their posts."""

    md5s: Any
    """(N,) of `MD5`, ascending."""
    ids: Ids
    """The posts, (N,) int64."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, int]]) -> Hashes:
        """Return the hashes of pairs of MD5, 16 bytes, and post."""
        rows = sorted(pairs)
        return cls(
            np.array([md5 for md5, _ in rows], MD5), np.array([number for _, number in rows], np.int64)
        )

    def posts(self, md5s: Any) -> Ids:
        """Return the post of each MD5, (N,) int64; -1 for an MD5 that is not there."""
        if not len(self.ids):
            return np.full(len(md5s), -1)
        places = np.minimum(np.searchsorted(self.md5s, md5s), len(self.ids) - 1)
        return np.where(self.md5s[places] == md5s, self.ids[places], -1)


NONE: Final = Hashes.of(())
