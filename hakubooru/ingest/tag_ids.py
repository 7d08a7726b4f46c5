"""Ids and types of tags, for dumps that know only names."""

from __future__ import annotations

from itertools import chain, repeat
from operator import le
from typing import TYPE_CHECKING, Any, Final

from hakubooru.ingest.records import UNTYPED
from hakubooru.store.tags import ALIAS_LAYOUT, ALIAS_TABLE
from hakubooru.store.writing import insert_many, query_by_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from hakubooru.ingest.known import KnownTag
    from hakubooru.ingest.records import Record

_NOT_MET: Final = UNTYPED - 1
_TAGS_IN_MEMORY: Final = 500_000  # some 120 MB; Danbooru has a million, of which most are rare


class TagIds:
    """Ids by name; learns the tags that it meets, and their types.

    Where records disagree on a type, the greatest number counts (meta over copyright over character over
    artist over general), so that the order of records does not matter: a tag begins as general, and old dumps
    know no meta. A list of known tags has the last word.
    """

    _FINAL: Final = 7  # a type greater than all: no record can raise it

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TEMP TABLE known (name TEXT PRIMARY KEY, type INTEGER NOT NULL) WITHOUT ROWID"
        )
        connection.execute(
            "CREATE TEMP TABLE known_alias (alias TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID"
        )
        self._last_id: int = connection.execute("SELECT ifnull(MAX(id), 0) FROM tag").fetchone()[0]
        self.largest_known = 0
        """The largest id of the list of known tags; 0 where it has none."""
        self._ids: dict[str, int] = {}
        self._types: dict[str, int] = {}

    def learn_known(self, tags: Sequence[KnownTag]) -> None:
        """Take over types; ids where they are given and neither the name nor the id is in use; and aliases."""
        insert_many(
            self._connection,
            "INSERT OR REPLACE INTO known (name, type) VALUES",
            2,
            chain.from_iterable((tag.name, tag.type) for tag in tags),
        )
        with_id = [(tag.id, tag.name, tag.type, 0) for tag in tags if tag.id is not None]
        insert_many(
            self._connection,
            "INSERT OR IGNORE INTO tag (id, name, type, popularity) VALUES",
            4,
            chain.from_iterable(with_id),
        )
        insert_many(
            self._connection,
            # Of two tags with the same alias the first counts: such lists begin with the most popular.
            "INSERT OR IGNORE INTO known_alias (alias, name) VALUES",
            2,
            chain.from_iterable((alias, tag.name) for tag in tags for alias in tag.aliases),
        )
        self.largest_known = max(self.largest_known, *(tag.id or 0 for tag in tags))
        self._last_id = max(self._last_id, self.largest_known)

    def settle_known(self) -> None:
        """Give the tags that the file has the types of the known ones, and keep the aliases of the list."""
        known = "(SELECT type FROM known WHERE known.name = tag.name)"
        self._connection.execute(f"UPDATE tag SET type = {known} WHERE type <> ifnull({known}, type)")
        if not self._connection.execute("SELECT EXISTS (SELECT 1 FROM known_alias)").fetchone()[0]:
            return
        self._connection.execute(ALIAS_TABLE)
        if self._connection.execute("PRAGMA user_version").fetchone()[0] < ALIAS_LAYOUT:
            self._connection.execute(f"PRAGMA user_version = {ALIAS_LAYOUT}")
        self._connection.execute(
            "INSERT INTO tagalias (alias, name) SELECT alias, name FROM known_alias WHERE TRUE ON CONFLICT (alias) "
            "DO UPDATE SET name = excluded.name WHERE name <> excluded.name"
        )

    def learn(self, records: Iterable[Record]) -> None:
        """Make sure that every tag of these records has an id, and the type that it should have."""
        if len(self._ids) > _TAGS_IN_MEMORY:
            self._ids.clear()
            self._types.clear()
        types = self._types
        met: dict[str, int] = {}
        for record in records:
            # Most records tell nothing new: that much is found out without a loop of Python's.
            if all(map(le, record.tags.values(), map(types.get, record.tags, repeat(_NOT_MET)))):
                continue
            for name, type_number in record.tags.items():
                if name not in types or type_number > types[name]:
                    met[name] = max(type_number, met.get(name, UNTYPED))
        if met:
            self._look_up([name for name in met if name not in types])
            self._add({name: type_number for name, type_number in met.items() if name not in types})
            self._raise_types(met)

    def ids(self, names: Iterable[str]) -> Iterable[int]:
        """The ids of tags that were learned."""
        return map(self._ids.__getitem__, names)

    def _look_up(self, names: Sequence[str]) -> None:
        rows = query_by_name(
            self._connection,
            "SELECT tag.name, tag.id, tag.type, known.name IS NOT NULL FROM tag LEFT JOIN known USING (name) WHERE tag.name IN",
            names,
        )
        for name, tag_id, type_number, is_known in rows:
            self._remember(name, tag_id, self._FINAL if is_known else type_number)

    def _add(self, types: Mapping[str, int]) -> None:
        known = dict(
            query_by_name(self._connection, "SELECT name, type FROM known WHERE name IN", list(types))
        )
        rows: list[Any] = []
        for name, type_number in types.items():
            self._last_id += 1
            number = known.get(name, max(type_number, 0))
            rows += self._last_id, name, number, 0
            self._remember(name, self._last_id, self._FINAL if name in known else number)
        insert_many(self._connection, "INSERT INTO tag (id, name, type, popularity) VALUES", 4, rows)

    def _raise_types(self, types: Mapping[str, int]) -> None:
        raised = {name: number for name, number in types.items() if number > self._types[name]}
        self._types |= raised
        self._connection.executemany(
            "UPDATE tag SET type = ? WHERE id = ?",
            ((number, self._ids[name]) for name, number in raised.items()),
        )

    def _remember(self, name: str, tag_id: int, type_number: int) -> None:
        self._ids[name] = tag_id
        self._types[name] = type_number
