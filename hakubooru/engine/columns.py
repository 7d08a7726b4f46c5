"""The columns of a file's posts as NumPy arrays, on which a filter takes milliseconds.

They are read from the file when they are first used: one scan reads ids, flags, and the numbers that programs ask for most;
another the rest.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from hakubooru.store.reader import ROWS, THREADS
from hakubooru.store.schema import EXTENSIONS, TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.store import Store

OTHER: Final = 15
"""The number of all file extensions that `EXTENSIONS` does not have."""
MISSING: Final = -1
"""The value for NULL in `parent_id` and `pixiv_id`, which start at 1."""
NO_DATE: Final = -(2**62)
"""The value of `created_at` for a post without a date, and of `day` for NULL."""


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
_KNOWN_RATING: Final = "rating BETWEEN 0 AND 6"
_TRAITS: Final = {
    "is_deleted": _Bits("ifnull(is_deleted, 0) <> 0", 0),
    "is_banned": _Bits("ifnull(is_banned, 0) <> 0", 1),
    "lacks_md5": _Bits("md5 IS NULL", 2),
    "lacks_file_url": _Bits("file_url IS NULL", 3),
    "has_children": _Bits("ifnull(has_children, 0) <> 0", 4),
    "has_active_children": _Bits("ifnull(has_active_children, 0) <> 0", 5),
    "has_visible_children": _Bits("ifnull(has_visible_children, 0) <> 0", 6),
    "has_large": _Bits("ifnull(has_large, 0) <> 0", 7),
    "rating": _Bits(f"CASE WHEN {_KNOWN_RATING} THEN rating WHEN rating IS NULL THEN 0 ELSE 7 END", 8, 3),
    "extension": _Bits(_EXTENSION_SQL, 11, 4),
}

FEW: Final = 16
"""Posts are searched, and their tags counted, one by one for fewer than one post in this many; else all at once."""
_DATE: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_ODD_DATE: Final = NO_DATE + 1
_RARE_TRAITS: Final = tuple(_TRAITS)[:7]


def _packed(*names: str) -> str:
    """The SQL that packs traits into an integer."""
    return " | ".join(f"(({_TRAITS[name].sql}) << {_TRAITS[name].start})" for name in names)


# Most posts have none of the rare traits: one condition for all of them is faster than packing each.
_HAS_NONE: Final = (
    f"{' AND '.join(f'{name} = 0' for name in _RARE_TRAITS if not name.startswith('lacks_'))} "
    f"AND md5 NOT NULL AND file_url NOT NULL AND {_KNOWN_RATING}"
)
_FIRST: Final = {
    "id": "id",
    "traits": (
        f"CASE WHEN {_HAS_NONE} THEN rating << {_TRAITS['rating'].start} ELSE {_packed(*_RARE_TRAITS, 'rating')} END "
        f"| {_packed('has_large', 'extension')}"
    ),
    "score": "ifnull(score, 0)",
    "fav_count": "ifnull(fav_count, 0)",
    "image_width": "ifnull(image_width, 0)",
    "image_height": "ifnull(image_height, 0)",
}
_RARE: Final = {
    "file_size": "ifnull(file_size, 0)",
    "up_score": "ifnull(up_score, 0)",
    "down_score": "ifnull(down_score, 0)",
    "parent_id": f"ifnull(parent_id, {MISSING})",
    "pixiv_id": f"ifnull(pixiv_id, {MISSING})",
    "uploader_id": "ifnull(uploader_id, 0)",
    "bit_flags": "ifnull(bit_flags, 0)",
}
_DATES: Final = {
    "created_at": f"CAST(ifnull(strftime('%s', created_at), {NO_DATE}) AS INTEGER)",
    "day": (
        f"CASE WHEN created_at GLOB '{_DATE}' THEN 2 * CAST(replace(substr(created_at, 1, 10), '-', '') AS INTEGER) "
        f"WHEN created_at IS NULL THEN {NO_DATE} ELSE {_ODD_DATE} END"
    ),
}
YEAR: Final = "max(0, min(9999, CAST(substr(ifnull(created_at, ''), 1, 4) AS INTEGER)))"
"""The SQL for the year of a post as its date is written; 0 without a date."""
_GROUPS: Final = (_FIRST, _RARE, *({name: sql} for name, sql in _DATES.items()), {"year": YEAR})
"""The columns that one scan reads together, each with its SQL."""

TRAITS: Final = tuple(_TRAITS)
"""The columns with few values: flags as 0 and 1, ratings and extensions as numbers."""
NUMBERS: Final = (*(name for name in _FIRST if name not in ("id", "traits")), *_RARE)
"""The columns of numbers that a scan reads."""
DATES: Final = (*_DATES, "year")
"""Columns for dates. `created_at` is in seconds since 1970. `day` is twice a number such as 20240531; for a date that
is not written so, it is one more than twice the greatest number whose date is not after it, as text. `year` is the year
as the date is written, or 0."""
COUNTS: Final = ("tag_count", *(f"{name}_tag_count" for name in TAG_TYPES))
"""The numbers of different tags that a post has: of all, and of each type. Only a sidecar has them."""


class Columns(Protocol):
    """Columns of posts, (N,) each, in the order of ids."""

    names: frozenset[str]
    """The columns that predicates and orders may use."""
    know_tags: bool
    """Whether the posts of tags are known without a statement on the relations."""

    @property
    def ids(self) -> Ids:
        """The ids of the posts, (N,) int64, ascending."""
        ...

    def __getitem__(self, name: str) -> Values:
        """A column, (N,)."""
        ...

    def bearing(self, tag: str) -> Values:
        """Whether each post has a tag, (N,) bool. Requires that the posts of tags are known."""
        ...


class PostColumns(Columns, Protocol):
    """Columns of posts that can be restricted to some of these posts."""

    def some(self, places: Values) -> PostColumns:
        """The columns of some of the posts, given by their indices, (M,)."""
        ...


class FileColumns:
    """The columns of a file, which scans read when they are first used; any thread may use them."""

    know_tags = False

    def __init__(self, store: Store, *, posts_a_batch: int = ROWS) -> None:
        self.names = frozenset({"id", *TRAITS, *NUMBERS} - self._unknown(store))
        self._store = store
        self._posts_a_batch = posts_a_batch
        self._arrays: dict[str, Values] = {}
        self._reading = threading.RLock()
        self._span: tuple[int, int] | None = None

    @staticmethod
    def _unknown(store: Store) -> set[str]:
        """The columns that some posts have no value of. Their arrays have 0 there, so SQLite must answer for them."""
        names = {*store.about.lacking, *store.about.unknown}
        return names | ({"extension"} if "file_ext" in names else set())

    def are_read(self, name: str = "traits") -> bool:
        """Whether a column is available without a scan."""
        return ("traits" if name in _TRAITS else name) in self._arrays

    def span(self) -> tuple[int, int]:
        """The range of ids: the smallest, and the largest plus one; (0, 0) without posts."""
        if self._span is None:
            are_known = self.are_read("id") and len(self["id"])
            first, last = self["id"][[0, -1]] if are_known else self._store.ends("post")
            self._span = (int(first), int(last) + 1) if first <= last else (0, 0)
        return self._span

    def are_few(self, count: int, share: int) -> bool:
        """Whether a number of posts is less than one in `share` of the ids."""
        first, end = self.span()
        return count * share < end - first

    @property
    def ids(self) -> Ids:
        """The ids of all posts, (N,) int64, ascending."""
        return self["id"]

    def only_ids(self) -> Ids:
        """The ids of all posts, (N,) int64, ascending. If they are not read yet, no other column is read along."""
        with self._reading:
            if not self.are_read("id"):
                self._read({"id": "id"})
            return self.ids

    def indices(self, ids: Ids) -> Values:
        """The indices in `ids` of posts of the file, (M,)."""
        return self.at(np.arange(len(self.ids), dtype=np.int32), ids)

    def at(self, values: Values, ids: Ids) -> Values:
        """The values of posts of the file, (M,), from those of all posts, (N,)."""
        first, end = self.span()
        if first < 0 or len(ids) * FEW < end:
            return values[np.searchsorted(self.ids, ids)]
        by_id = np.zeros(end, values.dtype)
        by_id[self.ids] = values
        return by_id[ids]

    def __getitem__(self, name: str) -> Values:
        """A column, (N,), in the order of ids. The first use of a column reads its group in one scan."""
        return self.take(name, slice(None))

    def take(self, name: str, places: Values | slice) -> Values:
        """A column of some posts, given by their indices, (M,)."""
        if name in _TRAITS:
            bits = _TRAITS[name]
            return (self._load("traits")[places] >> bits.start) & ((1 << bits.width) - 1)
        return self._load(name)[places]

    def read_all(self) -> None:
        """Read all columns that are not read yet, in one scan."""
        with self._reading:
            self._read(
                {name: sql for group in _GROUPS for name, sql in group.items() if name not in self._arrays}
            )

    def lacks(self, column: str) -> Values:
        """Whether each post has no value of a column of `post` that some posts lack, (N,) bool, in the order of ids.

        The first use reads this for all such columns, in one scan.
        """
        with self._reading:
            if f"lacks_{column}" not in self._arrays:
                self._read({f"lacks_{name}": f"{name} IS NULL" for name in sorted(self._store.about.unknown)})
            return self._arrays[f"lacks_{column}"].view(bool)

    def some(self, places: Values | slice) -> PostColumns:
        """The columns of some posts, given by their indices, (M,)."""
        return _Some(self, places)

    def bearing(self, tag: str) -> Values:
        """Not available; see `know_tags`."""
        raise NotImplementedError(tag)

    def about(self, tags: Sequence[str]) -> PostColumns:  # noqa: ARG002 - a sidecar restricts them
        """The columns of all posts."""
        return self

    def _load(self, name: str) -> Values:
        with self._reading:
            if name not in self._arrays:
                self._read(next(group for group in _GROUPS if name in group))
            return self._arrays[name]

    def _read(self, columns: dict[str, str]) -> None:
        """Read columns of numbers in one scan."""
        named = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        parts: list[list[tuple[Values, ...]]] = [[] for _ in range(THREADS)]
        for half, batch in self._store.scan("post", named, rows=self._posts_a_batch, narrowed=True):
            parts[half].append(batch)
        batches = [batch for part in parts for batch in part]
        for place, name in enumerate(columns):
            values = np.concatenate([np.empty(0, np.int8), *(batch[place] for batch in batches)])
            if name == "id":
                values = values.astype(np.int64, copy=False)
            elif name == "day":
                self._date_odd_ones(values)
            values.flags.writeable = False
            self._arrays[name] = values

    def _date_odd_ones(self, days: Values) -> None:
        odd = np.flatnonzero(days == _ODD_DATE)
        if len(odd):
            sql = f"SELECT created_at FROM post WHERE created_at NOT GLOB '{_DATE}' ORDER BY id"
            days[odd] = [day_number(text) for (text,) in self._store.rows(sql)]


class _Some:
    """The columns of some posts, given by their indices in all columns."""

    def __init__(self, columns: FileColumns, places: Values | slice) -> None:
        self.names = columns.names
        self.know_tags = columns.know_tags
        self._columns = columns
        self._places = places

    @property
    def ids(self) -> Ids:
        return self["id"].astype(np.int64, copy=False)

    def __getitem__(self, name: str) -> Values:
        return self._columns.take(name, self._places)

    def bearing(self, tag: str) -> Values:
        return self._columns.bearing(tag)[self._places]

    def some(self, places: Values) -> PostColumns:
        own = self._places
        return _Some(self._columns, places + own.start if isinstance(own, slice) else own[places])


def day_number(text: Any) -> int:
    """The value of `day` for a date that is not written as a day: odd, and -1 before all days.

    Twice the number of a day is not above it exactly if the day is not after the text, as SQLite compares them.
    """
    if not isinstance(text, str):
        return 2 * 10**8 + 1 if isinstance(text, bytes) else -1  # SQLite's order: numbers, texts, blobs
    # SQLite compares the bytes of UTF-8, which have the same order as the characters.
    return 2 * bisect.bisect_right(range(10**8), text, key=lambda number: date_text(2 * number)) - 1


@lru_cache(maxsize=20_000)
def date_text(day: int) -> str:
    """The day that a value of `day` stands for, such as 2024-05-31."""
    return f"{day // 20_000:04}-{day // 200 % 100:02}-{day // 2 % 100:02}"
