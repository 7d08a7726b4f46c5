"""Batches of records as columns, so that one program reads the rows of a table and the objects of a JSON text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from operator import eq
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakubooru.ingest.json_text import Entry

RECORDS: Final = 2000
"""How many records a batch has at most."""
_LARGEST: Final = 32 * 2**20
"""The size of JSON texts, in bytes, after which a batch is closed."""

Values = Sequence[Any]


class Batch(ABC):
    """Some records of a source."""

    name: str
    """The name of the file that the records are from."""
    unit: str
    """The kind of place: "line", "item", "row" or "file"."""
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

    @abstractmethod
    def number(self, place: int) -> int:
        """The number of a record in its file, from 1."""

    @abstractmethod
    def record(self, place: int) -> Any:
        """A record as it was read, to be shown."""


@dataclass
class Rows(Batch):
    """Some rows of a table."""

    columns: dict[str, Values]
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
        return self.columns.get(key)

    def number(self, place: int) -> int:
        """The number of a row."""
        return self.first + place

    def record(self, place: int) -> Any:
        """The values of a row by column."""
        return {name: values[place] for name, values in self.columns.items()}


@dataclass
class Objects(Batch):
    """Some objects of a JSON text."""

    entries: list[Entry]
    name: str
    unit: str = field(init=False)

    def __post_init__(self) -> None:
        self.unit = self.entries[0].unit if self.entries else "line"

    def __len__(self) -> int:
        return len(self.entries)

    def keys(self) -> set[str]:
        """The keys of all objects."""
        return self._all_keys

    def column(self, key: str) -> Values | None:
        """The values of a key."""
        if key in self._table:
            return self._table[key]
        if key not in self._all_keys:
            return None
        outer, dot, inner = key.partition(".")
        if not dot:
            return [entry.value.get(key) for entry in self.entries]
        return [_inner(entry.value, key, outer, inner) for entry in self.entries]

    def number(self, place: int) -> int:
        """The number of an object."""
        return self.entries[place].number

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
    def _all_keys(self) -> set[str]:
        if self._table and not any(dict in map(type, values) for values in self._table.values()):
            return set(self._table)
        return set().union(*(_keys(entry.value) for entry in self.entries))


def _keys(record: dict[str, Any]) -> Iterable[str]:
    yield from record
    for key, value in record.items():
        if type(value) is dict:
            for inner in value:
                yield f"{key}.{inner}"


def _inner(record: dict[str, Any], key: str, outer: str, inner: str) -> Any:
    if key in record:  # a flattened table as JSON
        return record[key]
    value = record.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def in_batches(entries: Iterable[Entry], name: str) -> Iterator[Objects | Entry]:
    """Group decoded objects into batches; what is not an object is passed on in its place, with its file."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if entry.reason or not isinstance(entry.value, dict):
            if batch:
                yield Objects(batch, name)
                batch, size = [], 0
            yield replace(entry, name=name)
            continue
        batch.append(entry)
        size += entry.size
        if len(batch) == RECORDS or size > _LARGEST:
            yield Objects(batch, name)
            batch, size = [], 0
    if batch:
        yield Objects(batch, name)


def rows_of(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], first: int, name: str, *, of_csv: bool = False
) -> Rows:
    """Make a batch of tuples."""
    values = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in columns]
    return Rows(
        dict(zip(columns, values, strict=True)), len(rows), first, name, "line" if of_csv else "row", of_csv
    )
