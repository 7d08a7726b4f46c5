"""From the syntax tree of a search to steps of a selection."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from hakubooru.select.predicate import And, Or, Predicate, Tagged
from hakubooru.select.search.metatags import ANSWERED, condition
from hakubooru.select.search.mistake import mistake
from hakubooru.select.search.orders import RANDOM, order_terms
from hakubooru.select.search.syntax import (
    All,
    Either,
    Except,
    Leaf,
    Metatag,
    Name,
    Query,
    Term,
    Wildcard,
    is_balanced,
    leaves,
)
from hakubooru.select.step import Ordered
from hakubooru.tags import like_pattern

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from hakubooru.database import Database
    from hakubooru.errors import SearchError
    from hakubooru.select.steps import Steps

MOST_TAGS: Final = 100
"""How many tags a wildcard may match. Danbooru takes the first hundred of more, silently."""
SEED: Final = 0
"""What `order:random` and `random:` draw with."""

_MOST_STEPS: Final = 50
_Selection = TypeVar("_Selection", bound="Steps")


def apply(query: Query, selection: _Selection, *, now: datetime | None = None) -> _Selection:
    """The posts of a selection that a search finds, in the search's order.

    The names of tags are looked up at once, with a query or two; nothing else runs before a result is asked for.

    Args:
        query: what `parse` gave.
        selection: where to search.
        now: what `age:` counts back from; by default, the present.

    Raises:
        SearchError: the database has no such tag, or a wildcard matches none or too many; the message shows
            the place.
    """
    tags = _tags_of(query, selection.database)
    # A step for each term at the top, so that a funnel shows them one by one.
    parts = query.condition.parts if isinstance(query.condition, All) else (query.condition,)
    for part in parts if len(parts) <= _MOST_STEPS else (query.condition,):
        selection = selection.where(_predicate(part, tags, now))
    if query.random is not None:
        selection = selection.shuffle(seed=SEED).limit(query.random)
    order = query.order or ("id_desc" if query.limit is not None and query.random is None else None)
    if order == RANDOM:
        selection = selection.shuffle(seed=SEED)
    elif order is not None:
        selection = type(selection)(selection.database, Ordered(selection.step, order_terms(order)))
    return selection if query.limit is None else selection.limit(query.limit)


def _predicate(term: Term, tags: _Tags, now: datetime | None) -> Predicate:
    match term:
        case All(parts):
            return And(tuple(_predicate(part, tags, now) for part in parts))
        case Either(parts):
            return Or(tuple(_predicate(part, tags, now) for part in parts))
        case Except(part):
            return ~_predicate(part, tags, now)
        case Metatag() if term.name != "unaliased":
            return condition(term, now)
        case _:
            found = tags[term]
            return Tagged(found[0]) if len(found) == 1 else Or(tuple(Tagged(name) for name in found))


_Tags: TypeAlias = "dict[Leaf, tuple[str, ...]]"
"""The names of the tags that each tag or wildcard of a search means."""


def _tags_of(query: Query, database: Database) -> _Tags:
    asked = [
        leaf for leaf in leaves(query.condition) if not isinstance(leaf, Metatag) or leaf.name == "unaliased"
    ]
    names = {_written(leaf) for leaf in asked}
    existing = _existing(database, names | {name.lower() for name in names})
    aliases = _aliases(database, {name.lower() for name in names} - existing)
    tags: _Tags = {}
    for leaf in asked:
        name = _written(leaf)
        if isinstance(leaf, Wildcard):
            tags[leaf] = _matching(database, leaf, query.text)
        elif name in existing or name.lower() in existing:
            tags[leaf] = (name if name in existing else name.lower(),)
        elif isinstance(leaf, Name) and name.lower() in aliases:
            tags[leaf] = (aliases[name.lower()],)
        else:
            raise _unknown(database, leaf, query.text)
    return tags


def _written(leaf: Leaf) -> str:
    match leaf:
        case Name(name):
            return name
        case Wildcard(pattern):
            return pattern
        case Metatag(_, value):
            return value


def _existing(database: Database, names: Collection[str]) -> set[str]:
    rows = database.rows(
        "SELECT name FROM tag WHERE name IN (SELECT value FROM json_each(?))", [json.dumps(sorted(names))]
    )
    return {name for (name,) in rows}


def _aliases(database: Database, names: Collection[str]) -> dict[str, str]:
    """The names of tags by alias, where the database has aliases."""
    if not names or not database.rows(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tagalias'"
    ):
        return {}
    sql = (
        "SELECT tagalias.alias, tag.name FROM tagalias JOIN tag ON tag.name = tagalias.name "
        "WHERE tagalias.alias IN (SELECT value FROM json_each(?))"
    )
    return dict(database.rows(sql, [json.dumps(sorted(names))]))


def _matching(database: Database, wildcard: Wildcard, text: str) -> tuple[str, ...]:
    pattern = like_pattern(wildcard.pattern)
    matches = "FROM tag WHERE name LIKE ? ESCAPE '\\'"
    rows = database.rows(
        f"SELECT name {matches} ORDER BY popularity DESC, name LIMIT ?", [pattern, MOST_TAGS + 1]
    )
    if not rows:
        raise mistake(text, wildcard.place, f"no tag matches {wildcard}")
    if len(rows) > MOST_TAGS:
        count = database.scalar(f"SELECT COUNT(*) {matches}", [pattern])
        message = f"{wildcard} matches {count:,} tags, and {MOST_TAGS} are the most; say more of the name"
        raise mistake(text, wildcard.place, message)
    return tuple(name for (name,) in rows)


def _unknown(database: Database, leaf: Name | Metatag, text: str) -> SearchError:
    name = _written(leaf)
    near = database.tags.nearest(name)
    mends = [f"the nearest that it has: {', '.join(near)}"] if near else []
    prefix, colon, _ = name.partition(":")
    if colon and (metatags := get_close_matches(prefix.lower(), ANSWERED, n=1)):
        mends.insert(0, f"the nearest metatag: {metatags[0]}:")
    if not is_balanced(name):
        mends.insert(0, "one of its parentheses has no partner")
    return mistake(
        text, leaf.place, f"the database has no tag {name!r}; {'; '.join(mends) or 'it has none like it'}"
    )
