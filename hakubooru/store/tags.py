"""The tags of a database, by name, and the nearest names to a mistyped one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hakubooru.errors import InputError, UnknownTagError
from hakubooru.store.schema import TAG_TYPES, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakubooru.store.store import Store

ALIAS_TABLE: Final = 'CREATE TABLE IF NOT EXISTS "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'
"""Other names of tags: a table of this package's own, which published files lack and other programs ignore."""

ALIAS_LAYOUT: Final = 1
"""`PRAGMA user_version` of a file that has it; 0 is the published layout."""

_SPECIAL: Final = re.compile(r"[%_*]|\\\*|\\\\|\\")
_IN_LIKE: Final = {"%": r"\%", "_": r"\_", "*": "%", r"\*": "*", r"\\": r"\\", "\\": r"\\"}

_NAMES_A_QUERY: Final = 500  # SQLite takes 999 variables at the least


_SHORTEST_PART: Final = 3
_MOST_PARTS: Final = 2
_MATCHES: Final = "name LIKE ? ESCAPE '\\'"
_ALIAS_MATCHES: Final = "tagalias.name = tag.name AND alias LIKE ? ESCAPE '\\'"
_POSTS: Final = "coalesce(nullif(popularity, 0), (SELECT COUNT(DISTINCT post_id) FROM posttagrelation WHERE tag_id = tag.id))"
"""How many posts bear a tag; a file without popularities is counted."""


class TagMatch(NamedTuple):
    """A tag that a pattern matches."""

    name: str
    type: str
    posts: int
    alias: str | None
    """What matched, where it was not the name."""


class Tags:
    """The tags of one database; what `db.tags` gives."""

    def __init__(self, database: Store) -> None:
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

    def matching(self, pattern: str, limit: int | None = 100) -> list[TagMatch]:
        """The tags whose name, or an alias of it, matches a pattern, the commonest first.

        Args:
            pattern: a name, in which `*` stands for any characters; the case of Latin letters does not matter.
            limit: how many at the most; None for all.

        Raises:
            UnknownTagError: there is none; the message names the nearest.
        """
        where, parameters = self._match(pattern)
        like = parameters[0]
        others = f"SELECT MIN(alias) FROM tagalias WHERE {_ALIAS_MATCHES}" if self._has_aliases() else "NULL"
        alias = f"CASE WHEN {_MATCHES} THEN NULL ELSE ({others}) END"
        sql = f"SELECT name, type, {_POSTS} AS posts, {alias} FROM tag WHERE {where} ORDER BY posts DESC, name LIMIT ?"
        likes = [like] * (alias.count("?"))
        rows = self._database.rows(sql, [*likes, *parameters, -1 if limit is None else limit])
        if not rows and "*" in pattern:
            raise UnknownTagError(
                f"no tag matches {pattern!r}; write * for any characters, such as 'saber_(*'"
            )
        if not rows:
            self.check([pattern])
        kinds = dict(enumerate(TAG_TYPES))
        return [TagMatch(name, kinds.get(kind, str(kind)), count, by) for name, kind, count, by in rows]

    def count_matching(self, pattern: str) -> int:
        """How many tags `matching` gives without a limit."""
        where, parameters = self._match(pattern)
        return int(self._database.scalar(f"SELECT COUNT(*) FROM tag WHERE {where}", parameters))

    def abbreviated(self, initials: str) -> str | None:
        """The commonest tag whose words begin with these letters, as Danbooru reads `/lh`: long_hair."""
        letters = initials.lower()
        if not re.fullmatch(r"[a-z0-9]+", letters):
            return None
        like = f"%{'%'.join(letters)}%"
        names = [name for (name,) in self._database.rows("SELECT name FROM tag WHERE name LIKE ?", [like])]
        rows = self._database.rows(
            f"SELECT name, {_POSTS} AS posts FROM tag WHERE name IN (SELECT value FROM json_each(?)) "
            "ORDER BY posts DESC, name LIMIT 1",
            [json.dumps([name for name in names if _initials(name) == letters])],
        )
        return next((str(name) for name, posts in rows if posts), None)

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
        """The known names nearest to a mistyped one, or to a part of one.

        Those in which it is a word come first (hatsune_miku for miku), two at the most, then the nearest by edit
        distance, then those in which it stands at all; the more popular before the less.
        """
        from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
        from rapidfuzz.distance import OSA  # noqa: PLC0415

        asked = name.strip().lower().replace(" ", "_")
        names = "SELECT name AS written, name, popularity FROM tag"
        if self._has_aliases():
            names += " UNION ALL SELECT alias, name, popularity FROM tagalias JOIN tag USING (name)"
        slack = 1 + len(asked) // 3
        rows = self._database.rows(
            f"SELECT written, name FROM ({names}) WHERE length(written) BETWEEN ? AND ? "
            "OR written LIKE ? ESCAPE '\\' ORDER BY popularity DESC, length(written), name",
            [len(asked) - slack, len(asked) + slack, like_pattern(asked).join("%%")],
        )
        written = [row[0] for row in rows]
        # A tag may be found by an alias as well as by its name.
        near = process.extract(asked, written, scorer=OSA.distance, limit=2 * count, score_cutoff=slack)
        word = re.compile(rf"(?<![^\W_]){re.escape(asked)}(?![^\W_])")
        is_word = len(asked) >= _SHORTEST_PART
        worded = [known for text, known in rows if is_word and word.search(text.lower())]
        holding = [known for text, known in rows if is_word and asked in text.lower()]
        exact = [known for text, known in rows if text == asked]
        proposals = [
            *exact,
            *worded[:_MOST_PARTS],
            *(rows[place][1] for _, _, place in near),
            *worded,
            *holding,
        ]
        return list(dict.fromkeys(proposals))[:count]

    def _has_aliases(self) -> bool:
        return bool(self._database.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'tagalias'"))

    def _match(self, pattern: str) -> tuple[str, list[str]]:
        """A condition for tags whose names or aliases match a pattern, and its parameters."""
        like = like_pattern(pattern)
        if not self._has_aliases():
            return _MATCHES, [like]
        return f"{_MATCHES} OR EXISTS (SELECT 1 FROM tagalias WHERE {_ALIAS_MATCHES})", [like, like]

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
    r"""A pattern with `*` as one for SQL's LIKE, a backslash being its escape.

    Beside a `*`, `\*` means a star and two backslashes mean one, as on Danbooru; a text without `*` means itself.
    """
    if "*" not in wildcard:
        return re.sub(r"([%_\\])", r"\\\1", wildcard)
    return _SPECIAL.sub(lambda match: _IN_LIKE[match[0]], wildcard)


def _initials(name: str) -> str:
    """The first letter of each word of a tag, as Danbooru tells words apart: `jd` for jeanne_d'arc."""
    if not re.search(r"[a-zA-Z0-9]{2}", name):
        return name[:1].lower()
    words = (re.sub(r"^[^a-zA-Z0-9]+", "", word) for word in re.split(r"[ _+:;!./()-]+", name))
    return "".join(word[0] for word in words if word).lower()
