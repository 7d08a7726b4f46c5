"""The tags of a database: lookup by name, wildcards, aliases, and suggestions for mistyped names."""

from __future__ import annotations

import json
import re
from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from hakubooru.errors import InputError, UnknownTagError
from hakubooru.quantity import quantity
from hakubooru.store.schema import TAG_TYPES, Tag, enum_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from hakubooru.store.store import Store

ALIAS_TABLE: Final = 'CREATE TABLE IF NOT EXISTS "tagalias" ("alias" VARCHAR(255) NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'
"""The statement that creates the table of tag aliases. Published files lack it, and other programs ignore it."""

IMPLICATION_TABLE: Final = (
    'CREATE TABLE IF NOT EXISTS "tagimplication" ("name" VARCHAR(255) NOT NULL, "implied" VARCHAR(255) NOT NULL, '
    'PRIMARY KEY ("name", "implied")) WITHOUT ROWID'
)
"""The statement that creates the table of tag implications: a post with the tag `name` has `implied` too."""

ALIAS_LAYOUT: Final = 1
"""The `PRAGMA user_version` of a file that has the table of aliases; the published layout has 0."""

_SPECIAL: Final = re.compile(r"[%_*]|\\\*|\\\\|\\")
_IN_LIKE: Final = {"%": r"\%", "_": r"\_", "*": "%", r"\*": "*", r"\\": r"\\", "\\": r"\\"}

_SHOWN: Final = 10
"""How many tags a notebook shows."""
_NAMES_A_QUERY: Final = 500  # SQLite takes 999 variables at the least


_SHORTEST_PART: Final = 3
_MOST_PARTS: Final = 2
_MATCHES: Final = "name LIKE ? ESCAPE '\\'"
_ALIAS_MATCHES: Final = "tagalias.name = tag.name AND alias LIKE ? ESCAPE '\\'"
_POSTS: Final = "coalesce(nullif(popularity, 0), (SELECT COUNT(DISTINCT post_id) FROM posttagrelation WHERE tag_id = tag.id))"
"""The SQL for how many posts have a tag; where a file has no popularity, its relations are counted."""


_IMPLYING: Final = """
WITH RECURSIVE implying (implied, name) AS (
    SELECT implied, name FROM tagimplication WHERE implied IN (SELECT value FROM json_each(?))
    UNION SELECT implying.implied, tagimplication.name FROM implying
    JOIN tagimplication ON tagimplication.implied = implying.name
)
SELECT implied, implying.name FROM implying JOIN tag USING (name) WHERE name <> implied ORDER BY implied, implying.name
"""


class TagMatch(NamedTuple):
    """A tag that a pattern matches, by its name or by an alias."""

    name: str
    type: str
    posts: int
    """How many posts have the tag."""
    alias: str | None
    """The alias that matches; None if the name itself matches."""


class Tags:
    """The tags of one database, as `db.tags` returns them."""

    def __init__(self, database: Store) -> None:
        self._database = database

    def __getitem__(self, name: str) -> Tag:
        """Look up a tag by name.

        Raises:
            UnknownTagError: the database has no such tag; the message names the nearest ones.
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

    def __repr__(self) -> str:
        return f"<Tags of {self._database.path.name}: {quantity(len(self), 'tag')}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(tag.name)}</td><td>{tag.type}</td><td>{tag.posts:,}</td></tr>"
            for tag in self.matching("*", limit=_SHOWN)
        )
        return f"<table><tr><th>tag</th><th>type</th><th>posts</th></tr>{rows}</table><p>{quantity(len(self), 'tag')}</p>"

    def check(self, names: Iterable[str]) -> None:
        """Check that the database has all of these tags, with one query for each 500.

        Raises:
            UnknownTagError: a tag is missing; the message names the tag that it is an alias of, or the nearest ones.
        """
        for name in self._missing(names):
            if tags := self.aliases([name]):
                raise UnknownTagError(
                    f"the database has no tag {name!r}: it is an alias, write {tags[name]} instead"
                )
            near = self.nearest(name)
            mend = f"similar tags: {', '.join(near)}" if near else "no tag is similar to it"
            raise UnknownTagError(f"the database has no tag {name!r}; {mend}")

    def matching(
        self, pattern: str = "*", limit: int | None = 100, *, type: str | None = None, min_posts: int = 0
    ) -> list[TagMatch]:
        """Find the tags whose name or alias matches a pattern, the most common first.

        Args:
            pattern: a name in which `*` stands for any characters. Upper and lower case of Latin letters are equal.
            limit: the largest number of tags to return; None returns all.
            type: general, artist, character, copyright or meta; by default, tags of all types.
            min_posts: the smallest number of posts that have the tag.

        Raises:
            UnknownTagError: no tag matches; the message names the nearest ones.
            InputError: there is no such type, or `limit` is negative or not a whole number.
        """
        if limit is not None and (not hasattr(limit, "__index__") or limit < 0):
            raise InputError(
                f"matching(limit=) takes a whole number of 0 or more, or None for all tags, not {limit!r}"
            )
        tags, parameters = self._matches(pattern, type, min_posts)
        sql = f"{tags} ORDER BY posts DESC, name LIMIT ?"
        rows = self._database.rows(sql, [*parameters, -1 if limit is None else limit])
        if not rows:
            self._explain_none(pattern, type, min_posts)
        kinds = dict(enumerate(TAG_TYPES))
        return [TagMatch(name, kinds.get(kind, str(kind)), count, by) for name, kind, count, by in rows]

    def count_matching(self, pattern: str = "*", *, type: str | None = None, min_posts: int = 0) -> int:
        """Count the tags that match a pattern: the length of `matching(pattern, limit=None)`."""
        tags, parameters = self._matches(pattern, type, min_posts)
        return int(self._database.scalar(f"SELECT COUNT(*) FROM ({tags})", parameters))

    def abbreviated(self, initials: str) -> str | None:
        """The most common tag with these initials, as Danbooru reads `/lh` as long_hair; None if there is none."""
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
        """Check the type of tags, given by name, with one query for each 500.

        Raises:
            InputError: a tag has another type.
        """
        for name, number in self._by_name("SELECT name, type FROM tag WHERE name IN", types):
            if number != TAG_TYPES.index(types[name]):
                kind = TAG_TYPES[number] if 0 <= number < len(TAG_TYPES) else number
                raise InputError(
                    f"{name!r} is not of type {types[name]} but of type {kind}: write tagged({name!r}) instead"
                )

    def look_up(self, names: Collection[str]) -> tuple[set[str], dict[str, str]]:
        """Look up names with one or two queries: those that are tags, and the tag of each that is an alias."""
        aliases = self.aliases(names)
        rows = self._database.rows(
            "SELECT name FROM tag WHERE name IN (SELECT value FROM json_each(?))", [json.dumps(sorted(names))]
        )
        return {name for (name,) in rows}, aliases

    def aliases(self, names: Iterable[str]) -> dict[str, str]:
        """Map those of the names that are aliases to their tags, with one query for each 500 names.

        Only a file that was built with a list of aliases (`hakubooru db build --tags`) has any.
        """
        if not self._database.has_table("tagalias"):
            return {}
        query = "SELECT alias, tag.name FROM tagalias JOIN tag USING (name) WHERE alias IN"
        return dict(self._by_name(query, names))

    def implying(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The tags of the file that imply each of the names, directly or through others, in order of their names.

        Raises:
            InputError: the file has no implications.
        """
        if not self._database.has_table("tagimplication"):
            raise InputError(
                f"{self._database.path} has no tag implications: build it with a list of them, as in "
                "`hakubooru db build … --tags tag_implications.csv`"
            )
        rows = self._database.rows(_IMPLYING, [json.dumps(sorted(set(names)))])
        implying: dict[str, list[str]] = {}
        for implied, name in rows:
            implying.setdefault(implied, []).append(name)
        return implying

    def nearest(self, name: str, count: int = 3) -> list[str]:
        """Suggest up to `count` tags for a mistyped name, or for a part of a name.

        Up to two tags that contain it as a word come first (hatsune_miku for miku), then the nearest by edit distance,
        then the other tags that contain it. More popular tags stand before less popular ones.
        """
        from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
        from rapidfuzz.distance import OSA  # noqa: PLC0415

        word = name.strip().lower().replace(" ", "_")
        names = "SELECT name AS written, name, popularity FROM tag"
        if self._database.has_table("tagalias"):
            names += " UNION ALL SELECT alias, name, popularity FROM tagalias JOIN tag USING (name)"
        slack = 1 + len(word) // 3
        rows = self._database.rows(
            f"SELECT written, name FROM ({names}) WHERE length(written) BETWEEN ? AND ? "
            "OR written LIKE ? ESCAPE '\\' ORDER BY popularity DESC, length(written), name",
            [len(word) - slack, len(word) + slack, like_pattern(word).join("%%")],
        )
        spellings = [row[0] for row in rows]
        # Twice as many as needed: a tag may come up by its name and by an alias.
        near = process.extract(word, spellings, scorer=OSA.distance, limit=2 * count, score_cutoff=slack)
        pattern = re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])")
        is_long = len(word) >= _SHORTEST_PART
        by_word = [tag for spelling, tag in rows if is_long and pattern.search(spelling.lower())]
        by_part = [tag for spelling, tag in rows if is_long and word in spelling.lower()]
        exact = [tag for spelling, tag in rows if spelling == word]
        suggestions = [
            *exact,
            *by_word[:_MOST_PARTS],
            *(rows[place][1] for _, _, place in near),
            *by_word,
            *by_part,
        ]
        return list(dict.fromkeys(suggestions))[:count]

    def _matches(self, pattern: str, type: str | None, min_posts: int) -> tuple[str, list[Any]]:
        """Build the SQL for the name, type, number of posts and alias of each tag that matches, and its parameters."""
        like = like_pattern(pattern)
        is_alias, alias, parameters = "0", "NULL", [like]
        if self._database.has_table("tagalias"):
            is_alias = f"EXISTS (SELECT 1 FROM tagalias WHERE {_ALIAS_MATCHES})"
            others = f"SELECT MIN(alias) FROM tagalias WHERE {_ALIAS_MATCHES}"
            alias = f"CASE WHEN {_MATCHES} THEN NULL ELSE ({others}) END"
            parameters = [like] * 4
        where = f"({_MATCHES} OR {is_alias})"
        if type is not None:
            where += f" AND type = {enum_number(TAG_TYPES, type)}"
        sql = f"SELECT name, type, {_POSTS} AS posts, {alias} FROM tag WHERE {where}"
        if min_posts > 0:
            sql = f"SELECT * FROM ({sql}) WHERE posts >= {int(min_posts)}"
        return sql, parameters

    def _explain_none(self, pattern: str, type: str | None, min_posts: int) -> NoReturn:
        if "*" not in pattern:
            self.check([pattern])
        if type is None and min_posts <= 0:
            raise UnknownTagError(
                f"no tag matches {pattern!r}; * stands for any characters, as in 'saber_(*'"
            )
        kind = "" if type is None else f" of type {TAG_TYPES[enum_number(TAG_TYPES, type)]}"
        posts = f" with {quantity(min_posts, 'post')} or more" if min_posts > 0 else ""
        raise UnknownTagError(
            f"no tag{kind}{posts} matches {pattern!r}; leave the type away, or ask for fewer posts"
        )

    def _missing(self, names: Iterable[str]) -> list[str]:
        names = sorted(set(names))
        tags = {name for (name,) in self._by_name("SELECT name FROM tag WHERE name IN", names)}
        return [name for name in names if name not in tags]

    def _by_name(self, query: str, names: Iterable[str]) -> Iterator[Any]:
        return rows_by_name(self._database.rows, query, names)


def rows_by_name(
    run: Callable[[str, list[str]], Iterable[Any]], query: str, names: Iterable[str]
) -> Iterator[Any]:
    """Iterate over the rows of a query that ends in IN, for any number of names.

    Args:
        run: runs a statement with its parameters.
        query: the query, up to the list of names.
        names: the names, each once.
    """
    # A list in JSON would cut a name off at a zero byte, which tags of some dumps have.
    listed = list(names)
    for start in range(0, len(listed), _NAMES_A_QUERY):
        some = listed[start : start + _NAMES_A_QUERY]
        yield from run(f"{query} ({', '.join('?' * len(some))})", some)


def like_pattern(wildcard: str) -> str:
    r"""Convert a pattern with `*` to a pattern for SQL's LIKE with a backslash as the escape character.

    As on Danbooru, `\*` in a pattern with `*` means a star, and two backslashes mean one. A text without `*` matches
    itself only.
    """
    if "*" not in wildcard:
        return re.sub(r"([%_\\])", r"\\\1", wildcard)
    return _SPECIAL.sub(lambda match: _IN_LIKE[match[0]], wildcard)


def _initials(name: str) -> str:
    """The first letter of each word of a tag, with words split as on Danbooru: `jd` for jeanne_d'arc."""
    if not re.search(r"[a-zA-Z0-9]{2}", name):
        return name[:1].lower()
    words = (re.sub(r"^[^a-zA-Z0-9]+", "", word) for word in re.split(r"[ _+:;!./()-]+", name))
    return "".join(word[0] for word in words if word).lower()
