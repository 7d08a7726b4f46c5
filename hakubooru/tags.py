"""The tags of a database, by name, and the nearest names to a mistyped one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hakubooru.errors import InputError, UnknownTagError
from hakubooru.schema import TAG_TYPES, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakubooru.database import Database

ALIAS_TABLE: Final = 'CREATE TABLE IF NOT EXISTS "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'
"""Other names of tags: a table of this package's own, which published files lack and other programs ignore."""

ALIAS_LAYOUT: Final = 1
"""`PRAGMA user_version` of a file that has it; 0 is the published layout."""

_NAMES_A_QUERY: Final = 500  # SQLite takes 999 variables at the least


class TagMatch(NamedTuple):
    """A tag that a pattern matches."""

    name: str
    type: str
    posts: int
    alias: str | None
    """What matched, where it was not the name."""


class Tags:
    """The tags of one database; what `db.tags` gives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getitem__(self, name: str) -> Tag:
        """The tag of that name.

        Raises:
            UnknownTagError: the database has none; the message names the nearest.
        """
        self.check([name])
        tag: Tag = next(self._database.execute(Tag.select().where(Tag.name == name)))
        return tag

    def __contains__(self, name: str) -> bool:
        return not self._missing([name])

    def __iter__(self) -> Iterator[Tag]:
        yield from self._database.execute(Tag.select().order_by(Tag.id))

    def __len__(self) -> int:
        return int(self._database.scalar("SELECT COUNT(*) FROM tag"))

    def check(self, names: Iterable[str]) -> None:
        """Check that the database has every one of these tags, with one query.

        Raises:
            UnknownTagError: it lacks one; the message names what it is an alias of, or the nearest.
        """
        for name in self._missing(names):
            if of := self.aliases([name]):
                raise UnknownTagError(
                    f"the database has no tag {name!r}, which is an alias of {of[name]}: use that"
                )
            near = self.nearest(name)
            mend = f"the nearest that it has: {', '.join(near)}" if near else "it has none like it"
            raise UnknownTagError(f"the database has no tag {name!r}; {mend}")

    def matching(self, pattern: str, limit: int = 100) -> list[TagMatch]:
        """The tags whose name, or an alias of it, matches a pattern, the commonest first.

        Args:
            pattern: a name, in which `*` stands for any characters; the case of Latin letters does not matter.
            limit: how many at the most.

        Raises:
            UnknownTagError: there is none; the message names the nearest.
        """
        like = like_pattern(pattern)
        # A file without popularities is counted by an index; a tag that a post bears twice counts twice there.
        posts = (
            "coalesce(nullif(popularity, 0), (SELECT COUNT(*) FROM posttagrelation WHERE tag_id = tag.id))"
        )
        alias, where, parameters = "NULL", "name LIKE ? ESCAPE '\\'", [like]
        if self._has_aliases():
            others = "tagalias WHERE tagalias.name = tag.name AND alias LIKE ? ESCAPE '\\'"
            alias = f"CASE WHEN {where} THEN NULL ELSE (SELECT MIN(alias) FROM {others}) END"
            where, parameters = f"{where} OR EXISTS (SELECT 1 FROM {others})", [like] * 4
        sql = f"SELECT name, type, {posts} AS posts, {alias} FROM tag WHERE {where} ORDER BY posts DESC, name LIMIT ?"
        rows = self._database.rows(sql, [*parameters, limit])
        if not rows and "*" in pattern:
            raise UnknownTagError(
                f"no tag matches {pattern!r}; write * for any characters, such as 'saber_(*'"
            )
        if not rows:
            self.check([pattern])
        kinds = dict(enumerate(TAG_TYPES))
        return [TagMatch(name, kinds.get(kind, str(kind)), count, by) for name, kind, count, by in rows]

    def check_types(self, types: Mapping[str, str]) -> None:
        """Check that tags are of these types, by name, with one query for each 500.

        Raises:
            InputError: one is of another type.
        """
        for name, number in self._by_name("SELECT name, type FROM tag WHERE name IN", types):
            if number != TAG_TYPES.index(types[name]):
                kind = TAG_TYPES[number] if 0 <= number < len(TAG_TYPES) else number
                raise InputError(
                    f"{name!r} is no {types[name]}: its type is {kind}; ask for it by tagged({name!r})"
                )

    def aliases(self, names: Iterable[str]) -> dict[str, str]:
        """Which of these names are aliases, and of which tags of the database; with one query for each 500 names.

        Only a file that was built with a list of aliases (`db build --tags`) knows any.
        """
        if not self._has_aliases():
            return {}
        query = "SELECT alias, tag.name FROM tagalias JOIN tag USING (name) WHERE alias IN"
        return dict(self._by_name(query, names))

    def nearest(self, name: str, count: int = 3) -> list[str]:
        """The known names nearest to a mistyped one, by edit distance, the more popular first among equals."""
        from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
        from rapidfuzz.distance import OSA  # noqa: PLC0415

        asked = name.strip().lower().replace(" ", "_")
        slack = 1 + len(asked) // 3
        names = "SELECT name AS written, name, popularity FROM tag"
        if self._has_aliases():
            names += " UNION ALL SELECT alias, name, popularity FROM tagalias JOIN tag USING (name)"
        rows = self._database.rows(
            f"SELECT written, name FROM ({names}) WHERE length(written) BETWEEN ? AND ? ORDER BY popularity DESC",
            [len(asked) - slack, len(asked) + slack],
        )
        written = [row[0] for row in rows]
        # A tag may be found by an alias as well as by its name.
        found = process.extract(asked, written, scorer=OSA.distance, limit=2 * count, score_cutoff=slack)
        return list(dict.fromkeys(rows[place][1] for _, _, place in found))[:count]

    def _has_aliases(self) -> bool:
        return bool(self._database.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'tagalias'"))

    def _missing(self, names: Iterable[str]) -> list[str]:
        asked = sorted(set(names))
        known = {name for (name,) in self._by_name("SELECT name FROM tag WHERE name IN", asked)}
        return [name for name in asked if name not in known]

    def _by_name(self, query: str, names: Iterable[str]) -> Iterator[Any]:
        asked = list(names)
        for start in range(0, len(asked), _NAMES_A_QUERY):
            some = asked[start : start + _NAMES_A_QUERY]
            yield from self._database.rows(f"{query} ({', '.join('?' * len(some))})", some)


def like_pattern(wildcard: str) -> str:
    """A pattern with `*` as one for SQL's LIKE, a backslash being its escape."""
    return re.sub(r"([%_\\])", r"\\\1", wildcard).replace("*", "%")
