"""Ids and types of tags, for dumps that only have names."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from hakubooru.ingest.post_tags import UNTYPED
from hakubooru.store.tags import ALIAS_LAYOUT, ALIAS_TABLE, IMPLICATION_TABLE
from hakubooru.store.writing import insert_many, query_by_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from hakubooru.ingest.taglist import KnownPair, KnownTag

_ABSENT: Final = UNTYPED - 1
_ALIASES: Final = (
    "INSERT INTO tagalias (alias, name) SELECT alias, name FROM known_alias WHERE TRUE ON CONFLICT (alias) "
    "DO UPDATE SET name = excluded.name WHERE name <> excluded.name"
)
_IMPLICATIONS: Final = (
    "INSERT OR IGNORE INTO tagimplication (name, implied) SELECT name, implied FROM known_implication"
)
_TAGS_IN_MEMORY: Final = 250_000  # some 60 MB; Danbooru has a million, of which most are rare


class TagIds:
    """The ids and types of tags by name; tags of new records are added.

    If records disagree on the type of a tag, the greatest number is kept (meta over copyright over character over artist
    over general), so that the order of records does not matter: on Danbooru a tag begins as general, and old dumps have
    no meta tags. The type in a list of tags overrides that of all records.
    """

    _FINAL: Final = 7  # greater than all types, so that no record can change it

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TEMP TABLE known (name TEXT PRIMARY KEY, type INTEGER NOT NULL) WITHOUT ROWID"
        )
        connection.execute(
            "CREATE TEMP TABLE known_alias (alias TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID"
        )
        connection.execute(
            "CREATE TEMP TABLE known_implication (name TEXT, implied TEXT, PRIMARY KEY (name, implied)) WITHOUT ROWID"
        )
        self._last_id: int = connection.execute("SELECT ifnull(MAX(id), 0) FROM tag").fetchone()[0]
        self.largest_known = 0
        """The largest id in the list of tags; 0 if the list has no ids."""
        self._ids: dict[str, int] = {}
        self._types: dict[str, int] = {}

    def learn_known(self, tags: Sequence[KnownTag]) -> None:
        """Add tags of a list of tags: their types, their aliases, and the ids of tags that the file does not have."""
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
        self._learn_aliases((alias, tag.name) for tag in tags for alias in tag.aliases)
        self.largest_known = max([self.largest_known, *(tag.id or 0 for tag in tags)])
        self._last_id = max(self._last_id, self.largest_known)

    def learn_pairs(self, pairs: Sequence[KnownPair]) -> None:
        """Add aliases and implications."""
        self._learn_aliases((pair.antecedent, pair.consequent) for pair in pairs if pair.is_alias)
        implications = ((pair.antecedent, pair.consequent) for pair in pairs if not pair.is_alias)
        statement = "INSERT OR IGNORE INTO known_implication (name, implied) VALUES"
        insert_many(self._connection, statement, 2, chain.from_iterable(implications))

    def _learn_aliases(self, aliases: Iterable[tuple[str, str]]) -> None:
        # If two tags have the same alias, the first is kept: such lists begin with the most popular tags.
        statement = "INSERT OR IGNORE INTO known_alias (alias, name) VALUES"
        insert_many(self._connection, statement, 2, chain.from_iterable(aliases))

    def settle_known(self) -> None:
        """Write the types, aliases and implications of the lists of tags to the file."""
        listed = "(SELECT type FROM known WHERE known.name = tag.name)"
        self._connection.execute(f"UPDATE tag SET type = {listed} WHERE type <> ifnull({listed}, type)")
        self._settle("known_alias", ALIAS_TABLE, _ALIASES)
        self._settle("known_implication", IMPLICATION_TABLE, _IMPLICATIONS)

    def _settle(self, known: str, table: str, insert: str) -> None:
        if self._connection.execute(f"SELECT EXISTS (SELECT 1 FROM {known})").fetchone()[0]:
            self._connection.execute(table)
            if self._connection.execute("PRAGMA user_version").fetchone()[0] < ALIAS_LAYOUT:
                self._connection.execute(f"PRAGMA user_version = {ALIAS_LAYOUT}")
            self._connection.execute(insert)

    def learn(self, tags: Mapping[str, int]) -> None:
        """Add tags of records, types by name: give new tags an id, and known ones a greater type."""
        if len(self._ids) > _TAGS_IN_MEMORY:
            self._ids.clear()
            self._types.clear()
        types = self._types
        changes = {name: number for name, number in tags.items() if number > types.get(name, _ABSENT)}
        if changes:
            self._look_up([name for name in changes if name not in types])
            self._add({name: type_number for name, type_number in changes.items() if name not in types})
            self._raise_types(changes)

    def ids(self, names: Iterable[str]) -> Iterable[int]:
        """Look up the ids of tags that `learn` has added."""
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
        listed = dict(
            query_by_name(self._connection, "SELECT name, type FROM known WHERE name IN", list(types))
        )
        rows: list[Any] = []
        for name, type_number in types.items():
            self._last_id += 1
            number = listed.get(name, max(type_number, 0))
            rows += self._last_id, name, number, 0
            self._remember(name, self._last_id, self._FINAL if name in listed else number)
        insert_many(self._connection, "INSERT INTO tag (id, name, type, popularity) VALUES", 4, rows)

    def _raise_types(self, types: Mapping[str, int]) -> None:
        increases = {name: number for name, number in types.items() if number > self._types[name]}
        self._types |= increases
        self._connection.executemany(
            "UPDATE tag SET type = ? WHERE id = ?",
            ((number, self._ids[name]) for name, number in increases.items()),
        )

    def _remember(self, name: str, tag_id: int, type_number: int) -> None:
        self._ids[name] = tag_id
        self._types[name] = type_number
