"""Batches of records as columns, so that one program reads the rows of a table and the objects of a JSON text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import eq
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrays import as_numbers, strings
from hakubooru.ingest.json_text import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from hakubooru.moments import Moments

RECORDS: Final = 2000
"""How many records a batch has at most."""
_LARGEST: Final = 32 * 2**20
"""The size of JSON texts, in bytes, after which a batch is closed."""

Values = Sequence[Any]


class Where(NamedTuple):
    """The place of a record."""

    name: str
    """The name of the file that the record is from."""
    unit: str
    """The kind of place: "line", "item", "row" or "file"."""
    number: int
    """The number of the record in the file, from 1."""

    def __str__(self) -> str:
        return f"{self.name}, {self.unit} {self.number:,}"


class Batch(ABC):
    """Some records of a source."""

    is_text: bool = False
    """Whether all values are texts, as in a CSV, and an empty one stands for no value."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def keys(self) -> set[str]:
        """The keys of the records; a key of an object in a record has the two keys joined by a dot."""

    @abstractmethod
    def column(self, key: str) -> Values | None:
        """The value of a key in each record, None where it has none; None if no record has the key."""

    def has(self, key: str) -> bool:
        """Whether a record has the key."""
        return key in self.keys()

    def texts(self, key: str) -> pa.StringArray | None:
        """The value of a key in each record as an Arrow array; None if one is neither text nor None."""
        values = self.column(key)
        is_text = values is not None and set(map(type, values)) <= {str, NoneType}
        return strings(values) if values is not None and is_text else None

    def moments(self, key: str) -> Moments | None:  # noqa: ARG002 - only tables have such
        """The moments of a key in UTC, (N,), from 1970 to 9998, if it is a column of such; else None."""
        return None

    @abstractmethod
    def where(self, place: int) -> Where:
        """The place of a record."""

    @abstractmethod
    def record(self, place: int) -> Any:
        """A record as it was read, to be shown."""


@dataclass
class Rows(Batch):
    """Some rows of a table."""

    columns: dict[str, Values | pa.StringArray | pa.TimestampArray]
    count: int
    first: int
    """The number of the first row, from 1."""
    name: str
    unit: str = "row"
    is_text: bool = False

    def __len__(self) -> int:
        return self.count

    def keys(self) -> set[str]:
        """The names of the columns, and of the fields of structs."""
        return set(self.columns)

    def column(self, key: str) -> Values | None:
        """The values of a column."""
        values: Any = self.columns.get(key)
        listed: Values | None = values.to_pylist() if _is_arrow(values) else values
        return listed

    def texts(self, key: str) -> pa.StringArray | None:
        """The texts of a column."""
        values: Any = self.columns.get(key)
        if _is_arrow(values):
            return values if str(values.type) == "string" else None
        return super().texts(key)

    def moments(self, key: str) -> Moments | None:
        """The moments of a column."""
        values: Any = self.columns.get(key)
        return moments_of(values) if _is_arrow(values) and str(values.type) != "string" else None

    def where(self, place: int) -> Where:
        """The place of a row."""
        return Where(self.name, self.unit, self.first + place)

    def record(self, place: int) -> Any:
        """The values of a row by column."""
        return {
            name: values[place].as_py() if _is_arrow(values) else values[place]
            for name, values in self.columns.items()
        }


def moments_of(array: pa.TimestampArray) -> Moments:
    """The moments of an Arrow array without gaps, (N,)."""
    return as_numbers(array, np.int64).view(f"datetime64[{array.type.unit}]")


def _is_arrow(values: Any) -> bool:
    return hasattr(values, "to_pylist")


@dataclass
class Objects(Batch):
    """Some objects of JSON texts; small files, of one object each, share a batch."""

    entries: list[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def keys(self) -> set[str]:
        """The keys of all objects."""
        return self._keys

    def has(self, key: str) -> bool:
        """Whether an object has the key."""
        return key in self._table or key in self._keys

    def column(self, key: str) -> Values | None:
        """The values of a key."""
        if key in self._table:
            return self._table[key]
        if key not in self._keys:
            return None
        outer, dot, inner = key.partition(".")
        if not dot:
            return [entry.value.get(key) for entry in self.entries]
        return [_inner(entry.value, key, outer, inner) for entry in self.entries]

    def where(self, place: int) -> Where:
        """The place of an object."""
        entry = self.entries[place]
        return Where(entry.name, entry.unit, entry.number)

    def record(self, place: int) -> Any:
        """An object."""
        return self.entries[place].value

    @cached_property
    def _table(self) -> dict[str, Values]:
        """The values of all keys, if all objects have the same ones; otherwise empty."""
        values = [entry.value for entry in self.entries]
        keys = tuple(values[0]) if values else ()
        if not all(map(eq, map(tuple, values), repeat(keys))):
            return {}
        return dict(zip(keys, zip(*map(dict.values, values), strict=True), strict=True))

    @cached_property
    def _keys(self) -> set[str]:
        keys: set[str] = set()
        for entry in self.entries:
            keys.update(entry.value)
            if dict in set(map(type, entry.value.values())):
                keys.update(_inner_keys(entry.value))
        return keys


def _inner_keys(record: dict[str, Any]) -> Iterable[str]:
    for key, value in record.items():
        if type(value) is dict:
            for inner in value:
                yield f"{key}.{inner}"


def _inner(record: dict[str, Any], key: str, outer: str, inner: str) -> Any:
    if key in record:  # a flattened table as JSON
        return record[key]
    value = record.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def in_batches(entries: Iterable[Entry | Batch], count: int = RECORDS) -> Iterator[Batch | Entry]:
    """Group decoded objects into batches; what is a batch, or is not an object, is passed on in its place.

    Args:
        entries: the objects and batches.
        count: how many objects a batch has at most.
    """
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if isinstance(entry, Entry) and not entry.reason and isinstance(entry.value, dict):
            batch.append(entry)
            size += entry.size
            if len(batch) == count or size > _LARGEST:
                yield Objects(batch)
                batch, size = [], 0
        else:
            if batch:
                yield Objects(batch)
                batch, size = [], 0
            yield entry
    if batch:
        yield Objects(batch)


def rows_of(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], first: int, name: str, *, of_csv: bool = False
) -> Rows:
    """Make a batch of tuples."""
    values = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in columns]
    return Rows(
        dict(zip(columns, values, strict=True)), len(rows), first, name, "line" if of_csv else "row", of_csv
    )
