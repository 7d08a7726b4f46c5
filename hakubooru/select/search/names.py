"""Look up the tags that the words of a search mean: by name, alias, abbreviation or wildcard."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from hakubooru.nearest import closest
from hakubooru.select.search.metatags import ANSWERED
from hakubooru.select.search.mistake import CLOSES_NOTHING, mistake
from hakubooru.select.search.syntax import Leaf, Metatag, Name, Query, Wildcard, is_balanced, leaves
from hakubooru.store.tags import Tags, like_pattern

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hakubooru.errors import SearchError
    from hakubooru.store.store import Store

MOST_TAGS: Final = 100
"""How many tags a wildcard may match. Danbooru silently ignores further ones."""
_MOST_WORDS: Final = 6
"""How many neighbouring words are tried as one tag."""

TagNames: TypeAlias = "dict[Leaf, tuple[str, ...]]"
"""The names of tags by the tag or wildcard of a search that means them."""


def tag_names(query: Query, database: Store) -> TagNames:
    """Look up the tags of a search, with one or two queries.

    An alias means its tag, even if a tag with the alias's name still exists, because Danbooru has moved its posts.
    `unaliased:` means the tag of exactly that name.

    Raises:
        SearchError: the database does not have a tag, or a wildcard matches none or too many; the message shows
            the place.
    """
    terms = [leaf for leaf in leaves(query.condition) if not isinstance(leaf, Metatag) or is_tag(leaf)]
    names = {_written(leaf) for leaf in terms}
    existing = _existing(database, names | {name.lower() for name in names})
    aliases = Tags(database).aliases({leaf.name.lower() for leaf in terms if isinstance(leaf, Name)})
    meanings: TagNames = {}
    for leaf in terms:
        name = _written(leaf)
        if isinstance(leaf, Wildcard):
            meanings[leaf] = _matching(database, leaf, query.text)
            continue
        tag = name if name in existing else name.lower()
        if isinstance(leaf, Name):
            tag = aliases.get(name.lower()) or _abbreviated(database, name) or tag
        if tag not in existing and tag in (name, name.lower()):
            raise _unknown(database, leaf, terms, query.text)
        meanings[leaf] = (tag,)
    return meanings


def is_tag(metatag: Metatag) -> bool:
    """Whether a metatag names a tag, as `unaliased:` does."""
    return metatag.name == "unaliased"


def _written(leaf: Leaf) -> str:
    match leaf:
        case Name(name):
            return name
        case Wildcard(pattern):
            return pattern
        case Metatag(_, value):
            return value


def _existing(database: Store, names: Collection[str]) -> set[str]:
    rows = database.rows(
        "SELECT name FROM tag WHERE name IN (SELECT value FROM json_each(?))", [json.dumps(sorted(names))]
    )
    return {name for (name,) in rows}


def _abbreviated(database: Store, name: str) -> str | None:
    return Tags(database).abbreviated(name[1:]) if name.startswith("/") else None


def _matching(database: Store, wildcard: Wildcard, text: str) -> tuple[str, ...]:
    pattern = like_pattern(wildcard.pattern)
    matches = "FROM tag WHERE name LIKE ? ESCAPE '\\'"
    rows = database.rows(
        f"SELECT name {matches} ORDER BY popularity DESC, name LIMIT ?", [pattern, MOST_TAGS + 1]
    )
    if not rows:
        raise mistake(text, wildcard.place, f"no tag matches {wildcard}")
    if len(rows) > MOST_TAGS:
        count = database.scalar(f"SELECT COUNT(*) {matches}", [pattern])
        message = (
            f"{wildcard} matches {count:,} tags, and at most {MOST_TAGS} are allowed; write more of the name"
        )
        raise mistake(text, wildcard.place, message)
    return tuple(name for (name,) in rows)


def _unknown(database: Store, leaf: Leaf, terms: Sequence[Leaf], text: str) -> SearchError:
    name = _written(leaf)
    if name.endswith(")") and not is_balanced(name) and is_balanced(name[:-1]):
        return mistake(text, (leaf.place[1] - 1, leaf.place[1]), CLOSES_NOTHING)
    message = f"the database has no tag {name!r}"
    whole = _across_blanks(database, leaf, terms, text)
    if whole:
        return mistake(
            text, leaf.place, f"{message}; tags have underscores in place of spaces: write {whole}"
        )
    hints = []
    prefix, colon, _ = name.partition(":")
    if not is_balanced(name):
        hints.append("one of its parentheses has no partner")
    if colon and (metatag := closest(prefix.lower(), ANSWERED)):
        hints.append(f"the nearest metatag is {metatag}:")
    if near := Tags(database).nearest(name):
        hints.append(f"similar tags: {', '.join(near)}")
    return mistake(text, leaf.place, f"{message}; {'; '.join(hints) or 'no tag is similar to it'}")


def _across_blanks(database: Store, leaf: Leaf, terms: Sequence[Leaf], text: str) -> str | None:
    """The longest tag that a word makes with its neighbours in a search; None if there is none."""
    place = next(place for place, other in enumerate(terms) if other is leaf)
    runs = [
        terms[start:end]
        for start in range(max(0, place - _MOST_WORDS + 1), place + 1)
        for end in range(place + 1, min(len(terms), start + _MOST_WORDS) + 1)
        if end - start > 1
    ]
    names = [
        "_".join(_written(word).strip("\"'").lower() for word in run)
        for run in runs
        if _are_neighbours(run, text)
    ]
    existing = _existing(database, names) | set(Tags(database).aliases(names))
    return max((name for name in names if name in existing), key=len, default=None)


def _are_neighbours(run: Sequence[Leaf], text: str) -> bool:
    return all(text[word.place[1] : after.place[0]].isspace() for word, after in pairwise(run))
