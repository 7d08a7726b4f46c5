"""Ids and types of tags, for dumps that only have names."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.ingest.post_tags import UNTYPED
from hakubooru.store.tags import ALIAS_LAYOUT, ALIAS_TABLE, IMPLICATION_TABLE, rows_by_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from hakubooru.arrays import Values
    from hakubooru.ingest.post_tags import PostTags
    from hakubooru.ingest.taglist import KnownPair, KnownTag

_ALIASES: Final = (
    "INSERT INTO tagalias (alias, name) SELECT alias, name FROM known_alias WHERE TRUE ON CONFLICT (alias) "
    "DO UPDATE SET name = excluded.name WHERE name <> excluded.name"
)
_IMPLICATIONS: Final = (
    "INSERT OR IGNORE INTO tagimplication (name, implied) SELECT name, implied FROM known_implication"
)
_NO_ID: Final = -1


class TagIds:
    """The ids and types of tags by their number in the vocabulary of the reader; tags of new records are added.

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
        self._ids = np.empty(0, np.int64)
        self._types = np.empty(0, np.int8)

    def learn_known(self, tags: Sequence[KnownTag]) -> None:
        """Add tags of a list of tags: their types, their aliases, and the ids of tags that the file does not have."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO known (name, type) VALUES (?, ?)", ((tag.name, tag.type) for tag in tags)
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO tag (id, name, type, popularity) VALUES (?, ?, ?, 0)",
            ((tag.id, tag.name, tag.type) for tag in tags if tag.id is not None),
        )
        self._learn_aliases((alias, tag.name) for tag in tags for alias in tag.aliases)
        self.largest_known = max([self.largest_known, *(tag.id or 0 for tag in tags)])
        self._last_id = max(self._last_id, self.largest_known)

    def learn_pairs(self, pairs: Sequence[KnownPair]) -> None:
        """Add aliases and implications."""
        self._learn_aliases((pair.antecedent, pair.consequent) for pair in pairs if pair.is_alias)
        implications = ((pair.antecedent, pair.consequent) for pair in pairs if not pair.is_alias)
        self._connection.executemany(
            "INSERT OR IGNORE INTO known_implication (name, implied) VALUES (?, ?)", implications
        )

    def _learn_aliases(self, aliases: Iterable[tuple[str, str]]) -> None:
        # If two tags have the same alias, the first is kept: such lists begin with the most popular tags.
        self._connection.executemany("INSERT OR IGNORE INTO known_alias (alias, name) VALUES (?, ?)", aliases)

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

    def learn(self, tags: PostTags) -> None:
        """Add the tags of records: give new tags an id, and known ones a greater type."""
        room = int(tags.numbers.max(initial=-1)) + 1 - len(self._ids)
        if room > 0:
            self._ids = np.append(self._ids, np.full(room, _NO_ID))
            self._types = np.append(self._types, np.full(room, UNTYPED, np.int8))
        new = np.flatnonzero(self._ids[tags.numbers] == _NO_ID)
        if len(new):
            self._learn_new([tags.names[place] for place in new.tolist()], tags.types[new], tags.numbers[new])
        greater = np.flatnonzero(tags.types > self._types[tags.numbers])
        if len(greater):
            self._raise_types(tags.types[greater], tags.numbers[greater])

    def ids(self, numbers: Values) -> Values:
        """Look up the ids of tags that `learn` has added, by their numbers in the vocabulary, (V,) int64."""
        ids: Values = self._ids[numbers]
        return ids

    def _learn_new(self, names: Sequence[str], types: Values, numbers: Values) -> None:
        rows = rows_by_name(
            self._connection.execute,
            "SELECT tag.name, tag.id, tag.type, known.name IS NOT NULL FROM tag LEFT JOIN known USING (name) WHERE tag.name IN",
            names,
        )
        tags = {name: (tag_id, self._FINAL if is_known else kind) for name, tag_id, kind, is_known in rows}
        tags |= self._add(
            {name: kind for name, kind in zip(names, types.tolist(), strict=True) if name not in tags}
        )
        self._ids[numbers] = [tags[name][0] for name in names]
        self._types[numbers] = [tags[name][1] for name in names]

    def _add(self, types: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Add tags to the file; return their ids and types."""
        listed = dict(
            rows_by_name(self._connection.execute, "SELECT name, type FROM known WHERE name IN", types)
        )
        ids = dict(zip(types, count(self._last_id + 1), strict=False))
        self._last_id += len(ids)
        rows = [(ids[name], name, listed.get(name, max(kind, 0)), 0) for name, kind in types.items()]
        self._connection.executemany("INSERT INTO tag (id, name, type, popularity) VALUES (?, ?, ?, ?)", rows)
        return {name: (tag_id, self._FINAL if name in listed else kind) for tag_id, name, kind, _ in rows}

    def _raise_types(self, types: Values, numbers: Values) -> None:
        self._types[numbers] = types
        pairs = zip(types.tolist(), self._ids[numbers].tolist(), strict=True)
        self._connection.executemany("UPDATE tag SET type = ? WHERE id = ?", pairs)
