"""The numeric columns of a file's posts as NumPy arrays, on which a filter takes milliseconds.

There are three groups, and one scan reads a group: ids with flags, rating and extension; common sizes and counts; and
rarely used columns.

SQLite joins the values of many posts into one text, which NumPy parses. Two threads do this at the same time, because
SQLite does not hold Python's lock while it scans. With 7.35 million posts, a column of 4 bytes takes 29 MB.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import DatabaseFileError
from hakubooru.store.schema import EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.sidecar import Sidecar
    from hakubooru.store.store import Store

OTHER: Final = 15
"""The number of all file extensions that `EXTENSIONS` does not have."""
MISSING: Final = -1
"""The value for NULL in `parent_id` and `pixiv_id`, which start at 1."""

_FEW: Final = 8
"""A table is scanned for more than one post in this many; fewer posts are looked up by an index."""
_POSTS_A_READ: Final = 250_000
_THREADS: Final = min(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class _Bits:
    """A small value that is packed into an integer with others: its SQL, first bit and width."""

    sql: str
    start: int
    width: int = 1


_EXTENSION_SQL = (
    "CASE file_ext "
    + " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(EXTENSIONS))
    + f" ELSE {OTHER} END"
)
_TRAITS: Final = {
    "is_deleted": _Bits("ifnull(is_deleted, 0) <> 0", 0),
    "is_banned": _Bits("ifnull(is_banned, 0) <> 0", 1),
    "lacks_md5": _Bits("md5 IS NULL", 2),
    "lacks_file_url": _Bits("file_url IS NULL", 3),
    "has_children": _Bits("ifnull(has_children, 0) <> 0", 4),
    "has_active_children": _Bits("ifnull(has_active_children, 0) <> 0", 5),
    "has_visible_children": _Bits("ifnull(has_visible_children, 0) <> 0", 6),
    "has_large": _Bits("ifnull(has_large, 0) <> 0", 7),
    "rating": _Bits("ifnull(rating, 0) & 7", 8, 3),
    "extension": _Bits(_EXTENSION_SQL, 11, 4),
}
_TRAIT_BITS: Final = 15

_COMMON: Final = {
    "score": "ifnull(score, 0)",
    "fav_count": "ifnull(fav_count, 0)",
    "image_width": "ifnull(image_width, 0)",
    "image_height": "ifnull(image_height, 0)",
    "file_size": "ifnull(file_size, 0)",
}
_RARE: Final = {
    "up_score": "ifnull(up_score, 0)",
    "down_score": "ifnull(down_score, 0)",
    "parent_id": f"ifnull(parent_id, {MISSING})",
    "pixiv_id": f"ifnull(pixiv_id, {MISSING})",
    "uploader_id": "ifnull(uploader_id, 0)",
    "bit_flags": "ifnull(bit_flags, 0)",
    "created_at": "ifnull(strftime('%s', created_at), 0)",
}

GROUPS: Final = ("id", "traits")
"""The two columns of the first group: ids, and the integers that pack all traits."""
NUMBERS: Final = (*_COMMON, *_RARE)
"""The columns of numbers; `created_at` is in seconds since 1970, and 0 if it is not a date."""
TRAITS: Final = tuple(_TRAITS)
"""The columns with few values: flags as 0 and 1, ratings and extensions as numbers."""


class Columns:
    """The numeric columns of one file, read when they are first used: `columns["score"]`."""

    def __init__(self, database: Store, sidecar: Sidecar | None = None) -> None:
        self._database = database
        self._sidecar = sidecar
        self._arrays: dict[str, Values] = {}
        self._reading = threading.RLock()

    @property
    def unknown(self) -> frozenset[str]:
        """The columns that some posts have no value of. Their arrays have 0 there, so SQLite must answer for them."""
        return self._database.about.lacking.union(self._database.about.unknown)

    def are_read(self) -> bool:
        """Whether ids and traits are available without a scan."""
        return self._sidecar is not None or "id" in self._arrays

    def span(self) -> tuple[int, int]:
        """The range of ids: the smallest, and the largest plus one; (0, 0) without posts."""
        if self.are_read() and len(self.ids):
            return int(self.ids[0]), int(self.ids[-1]) + 1
        # Two subqueries: SQLite reads MIN and MAX from the ends of a table only if each stands alone.
        ends = "ifnull((SELECT MIN(id) FROM post), 0), ifnull((SELECT MAX(id) + 1 FROM post), 0)"
        low, high = self._database.rows(f"SELECT {ends}")[0]
        return low, high

    def are_few(self, ids: Ids) -> bool:
        """Whether looking up the rows of the posts by an index is faster than a scan of a table."""
        low, high = self.span()
        return len(ids) * _FEW < high - low

    @property
    def ids(self) -> Ids:
        """The ids of all posts, (N,) int64, ascending."""
        return self["id"]

    def __getitem__(self, name: str) -> Values:
        """A column, (N,), in the order of ids. The first use of a column reads its group in one scan."""
        with self._reading:
            key = "traits" if name in _TRAITS else name
            if key not in self._arrays and self._sidecar is not None:
                self._arrays[key] = self._sidecar.load(key)
            if key not in self._arrays:
                self._read(next((group for group in (_COMMON, _RARE) if name in group), {}))
            values = self._arrays[key]
        if name in _TRAITS:
            bits = _TRAITS[name]
            return (values >> bits.start) & ((1 << bits.width) - 1)
        return values

    def know_tags(self) -> bool:
        """Whether the columns include the posts of tags, as a sidecar does."""
        return self._sidecar is not None

    def bearing(self, tag: str) -> Values | None:
        """Whether each post has a tag, (N,) bool; None without a sidecar."""
        if self._sidecar is None:
            return None
        rows = self._database.rows("SELECT id FROM tag WHERE name = ?", [tag])
        return self._sidecar.bearing(rows[0][0] if rows else 0, len(self.ids))

    def places(self, tag_id: int) -> Values:
        """The indices in `ids` of the posts that have a tag, ascending. Requires a sidecar."""
        assert self._sidecar is not None
        return self._sidecar.places(tag_id)

    def tag_counts(self, ids: Ids) -> tuple[Values, Values]:
        """The ids of tags, and how many of the posts `ids` have each, (T,) each. Requires a sidecar."""
        assert self._sidecar is not None
        mask = np.zeros(len(self.ids), bool)
        mask[np.searchsorted(self.ids, ids)] = True
        return self._sidecar.counts(mask)

    def about(self, tags: Sequence[str]) -> Columns:
        """The columns restricted to the posts of the rarest of `tags`, if a sidecar has that tag as rare; else all."""
        if self._sidecar is None or not tags:
            return self
        ids = [
            row[0] for tag in tags for row in self._database.rows("SELECT id FROM tag WHERE name = ?", [tag])
        ]
        places = min(
            (self._sidecar.places(tag_id) for tag_id in ids if not self._sidecar.is_common(tag_id)),
            key=len,
            default=None,
        )
        return self if places is None else _Some(self, places)

    def _read(self, columns: dict[str, str]) -> None:
        """Read columns of numbers in one scan; without `columns`, read ids and traits."""
        traits = " | ".join(f"(({bits.sql}) << {bits.start})" for bits in _TRAITS.values())
        expressions = columns or {"id": f"id * {1 << _TRAIT_BITS} + ({traits})"}
        first, end = self.span()
        edges = [first - 1 + (end - first) * place // _THREADS for place in range(_THREADS + 1)]
        with ThreadPoolExecutor(_THREADS) as pool:
            parts = pool.map(lambda k: list(self._scan(expressions, edges[k], edges[k + 1])), range(_THREADS))
            reads = [read for part in parts for read in part]
        arrays = {
            name: np.concatenate([read[place] for read in reads]) if reads else np.empty(0, np.int64)
            for place, name in enumerate(expressions)
        }
        if not columns:
            packed = arrays["id"].astype(np.int64, copy=False)
            arrays["traits"] = (packed & ((1 << _TRAIT_BITS) - 1)).astype(np.uint16)
            arrays["id"] = packed >> _TRAIT_BITS
        for values in arrays.values():
            values.flags.writeable = False
        self._arrays |= arrays

    def _scan(self, expressions: dict[str, str], low: int, high: int) -> Iterator[list[Values]]:
        """Iterate over the columns of posts with `low` < id <= `high`, a batch of posts at a time."""
        joined = ", ".join(f"group_concat(c{place})" for place in range(len(expressions)))
        inner = ", ".join(f"{sql} AS c{place}" for place, sql in enumerate(expressions.values()))
        sql = (
            f"SELECT COUNT(*), MAX(id), {joined} FROM (SELECT id, {inner} FROM post "
            f"WHERE id > ? AND id <= ? ORDER BY id LIMIT {_POSTS_A_READ})"
        )
        count = _POSTS_A_READ
        while count == _POSTS_A_READ:
            ((count, last, *texts),) = self._database.rows(sql, [low, high])
            if count:
                yield [
                    _narrow(self._numbers(name, text, count))
                    for name, text in zip(expressions, texts, strict=True)
                ]
                low = last

    def _numbers(self, name: str, text: str | None, count: int) -> Values:
        try:
            values = np.fromstring(text or "", np.int64, sep=",")
        except (ValueError, DeprecationWarning):  # a value is not a number
            values = np.empty(0, np.int64)
        if len(values) != count:
            raise DatabaseFileError(
                f"{self._database.path}: post.{name} is not a whole number in some rows; find them with "
                f"SELECT id, {name} FROM post WHERE typeof({name}) <> 'integer', and correct them"
            )
        return values


class _Some(Columns):
    """The columns of some posts, given by their indices in all columns."""

    def __init__(self, columns: Columns, places: Values) -> None:
        self._columns = columns
        self._places = places

    @property
    def unknown(self) -> frozenset[str]:
        return self._columns.unknown

    def __getitem__(self, name: str) -> Values:
        return self._columns[name][self._places]

    def bearing(self, tag: str) -> Values | None:
        bears = self._columns.bearing(tag)
        return None if bears is None else bears[self._places]


def _narrow(values: Values) -> Values:
    """Convert numbers to 4 bytes if all fit; else return them unchanged."""
    limits = np.iinfo(np.int32)
    fits = values.min() >= limits.min and values.max() <= limits.max
    return values.astype(np.int32) if fits else values
