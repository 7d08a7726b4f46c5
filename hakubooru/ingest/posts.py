"""Write posts and their tags, and choose which of several records of a post is kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.records import instant
from hakubooru.store.sql import id_text
from hakubooru.store.writing import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from hakubooru.ingest.records import Record
    from hakubooru.ingest.tag_ids import TagIds

_BY_ID: Final = "IN (SELECT value FROM json_each(?))"
_POST_ROWS: Final = f"INSERT OR REPLACE INTO post ({', '.join(COLUMNS)}) VALUES"
_RELATION_ROWS: Final = "INSERT INTO posttagrelation (post_id, tag_id) VALUES"


@dataclass(frozen=True)
class Written:
    """Counts of a batch of records that was written."""

    new: int
    """How many posts the file did not have before."""
    updated: int
    """How many posts were replaced."""
    unchanged: int
    """How many records changed nothing: the file had the same record, or a newer one."""


class PostWriter:
    """A writer of batches of records into a metadata file, inside a transaction of the caller.

    The record with the newer `updated_at` is kept, with its tags. If a record of a dump is as new as that of the file, it
    replaces it, so that you can read a dump again with other options. Among equally new records of the same run, the
    greatest is kept, so that the order of dumps does not matter.
    """

    def __init__(self, connection: sqlite3.Connection, tag_ids: TagIds) -> None:
        self.connection = connection
        self.tag_ids = tag_ids
        self._written = _IdSet()

    def write(self, records: Sequence[Record]) -> Written:
        """Write a batch of records and count what changed."""
        # The tags of all records get ids, also of records that are not kept: so ids and types depend on the set of
        # records, not on their order.
        self.tag_ids.learn(records)
        batch = _one_a_post(records)
        dates = dict(self._rows(f"SELECT id, updated_at FROM post WHERE id {_BY_ID}", batch))
        new = [record for record in batch.values() if record.id not in dates]
        equal, newer = [], []
        for post_id, date in dates.items():
            record, stored = batch[post_id], instant(date)
            if record.updated > stored:
                newer.append(record)
            elif record.updated == stored:
                equal.append(record)
        updated = newer + self._to_replace(equal)
        self._forget_tags(updated)
        self._insert(new + updated)
        self._written.add(record.id for record in batch.values())
        return Written(len(new), len(updated), len(records) - len(new) - len(updated))

    def _to_replace(self, equal: Iterable[Record]) -> list[Record]:
        """Choose the records that replace equally new records of the file."""
        by_id = {record.id: record for record in equal}
        tags: dict[int, list[str]] = {post_id: [] for post_id in by_id}
        names = (
            "SELECT post_id, tag.name FROM posttagrelation JOIN tag ON tag.id = tag_id "
            f"WHERE post_id {_BY_ID} ORDER BY post_id, posttagrelation.id"
        )
        for post_id, name in self._rows(names, by_id):
            tags[post_id].append(name)
        records = []
        for row in self._rows(f"SELECT {', '.join(COLUMNS)} FROM post WHERE id {_BY_ID}", by_id):
            record = by_id[row[0]]
            stored, new = (repr(row), tags[record.id]), (repr(record.row), list(record.tags))
            if stored != new and (record.id not in self._written or new > stored):
                records.append(record)
        return records

    def _forget_tags(self, records: Iterable[Record]) -> None:
        ids = [record.id for record in records]
        if ids:
            self.connection.execute(f"DELETE FROM posttagrelation WHERE post_id {_BY_ID}", [id_text(ids)])

    def _insert(self, records: Sequence[Record]) -> None:
        rows = chain.from_iterable(record.row for record in records)
        insert_many(self.connection, _POST_ROWS, len(COLUMNS), rows)
        pairs = (
            zip(repeat(record.row[0]), self.tag_ids.ids(record.tags), strict=False) for record in records
        )
        values = chain.from_iterable(chain.from_iterable(pairs))
        insert_many(self.connection, _RELATION_ROWS, 2, values)

    def _rows(self, statement: str, ids: Iterable[int]) -> Iterable[Any]:
        text = id_text(ids)
        return self.connection.execute(statement, [text]) if text != "[]" else ()


def _one_a_post(records: Iterable[Record]) -> dict[int, Record]:
    batch: dict[int, Record] = {}
    for record in records:
        other = batch.get(record.id)
        if other is None or record.precedence() > other.precedence():
            batch[record.id] = record
    return batch


class _IdSet:
    """A set of ids that takes about one bit for each id if they are dense."""

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}

    def add(self, ids: Iterable[int]) -> None:
        for number in ids:
            self._bits[number >> 10] = self._bits.get(number >> 10, 0) | 1 << (number & 1023)

    def __contains__(self, number: int) -> bool:
        return bool(self._bits.get(number >> 10, 0) >> (number & 1023) & 1)
