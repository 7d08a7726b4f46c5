"""Write posts and their tags, and choose which of several records of a post is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import id_text
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.records import instant
from hakubooru.store.writing import insert_relations

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from hakubooru.ingest.records import Posts, Record
    from hakubooru.ingest.tag_ids import TagIds

_BY_ID: Final = "IN (SELECT value FROM json_each(?))"
_POST_ROW: Final = (
    f"INSERT OR REPLACE INTO post ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)


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

    def write(self, posts: Posts) -> Written:
        """Write a batch of posts and count what changed."""
        # The tags of all records get ids, also of records that are not kept: so ids and types depend on the set of
        # records, not on their order.
        self.tag_ids.learn(posts.tags)
        places = _one_a_post(posts)
        dates = dict(self._rows(f"SELECT id, updated_at FROM post WHERE id {_BY_ID}", places))
        new = [place for post_id, place in places.items() if post_id not in dates]
        updated = self._to_replace(posts, places, dates)
        self._forget_tags(updated)
        chosen = new + [places[post_id] for post_id in updated]
        self._insert(posts if len(new) == len(posts) else posts.take(chosen))
        self._written.add(places)
        return Written(len(new), len(updated), len(posts) - len(chosen))

    def _to_replace(self, posts: Posts, places: dict[int, int], dates: dict[int, str | None]) -> list[int]:
        """Choose the posts whose record replaces that of the file, by the dates of the file's."""
        newer, equal = [], {}
        for post_id, date in dates.items():
            record, stored = posts.record(places[post_id]), instant(date)
            if record.updated > stored:
                newer.append(post_id)
            elif record.updated == stored:
                equal[post_id] = record
        return newer + self._equal_to_replace(equal)

    def _equal_to_replace(self, by_id: dict[int, Record]) -> list[int]:
        """Choose the posts whose record replaces an equally new one of the file."""
        tags: dict[int, list[str]] = {post_id: [] for post_id in by_id}
        names = (
            "SELECT post_id, tag.name FROM posttagrelation JOIN tag ON tag.id = tag_id "
            f"WHERE post_id {_BY_ID} ORDER BY post_id, posttagrelation.id"
        )
        for post_id, name in self._rows(names, by_id):
            tags[post_id].append(name)
        chosen = []
        for row in self._rows(f"SELECT {', '.join(COLUMNS)} FROM post WHERE id {_BY_ID}", by_id):
            record = by_id[row[0]]
            stored, new = (repr(row), tags[record.id]), (repr(record.row), list(record.tags))
            if stored != new and (record.id not in self._written or new > stored):
                chosen.append(record.id)
        return chosen

    def _forget_tags(self, ids: list[int]) -> None:
        if ids:
            self.connection.execute(f"DELETE FROM posttagrelation WHERE post_id {_BY_ID}", [id_text(ids)])

    def _insert(self, posts: Posts) -> None:
        self.connection.executemany(_POST_ROW, zip(*posts.columns, strict=True))
        post_ids = np.repeat(np.array(posts.columns[0], np.int64), posts.tags.counts())
        tag_ids = self.tag_ids.ids(posts.tags.numbers)[posts.tags.places]
        insert_relations(self.connection, post_ids, tag_ids)

    def _rows(self, statement: str, ids: Iterable[int]) -> Iterable[Any]:
        text = id_text(ids)
        return self.connection.execute(statement, [text]) if text != "[]" else ()


def _one_a_post(posts: Posts) -> dict[int, int]:
    """The place in the batch of the record that is kept of each post, by the id of the post."""
    ids = posts.columns[0]
    places: dict[int, int] = {}
    for place, post_id in enumerate(ids):
        other = places.setdefault(post_id, place)
        if other != place and posts.record(place).precedence() > posts.record(other).precedence():
            places[post_id] = place
    return places


class _IdSet:
    """A set of ids that takes about one bit for each id if they are dense."""

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}

    def add(self, ids: Iterable[int]) -> None:
        for number in ids:
            self._bits[number >> 10] = self._bits.get(number >> 10, 0) | 1 << (number & 1023)

    def __contains__(self, number: int) -> bool:
        return bool(self._bits.get(number >> 10, 0) >> (number & 1023) & 1)
