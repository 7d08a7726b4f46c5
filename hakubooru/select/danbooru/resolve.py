"""Turn the syntax tree of a search into steps of a selection, and its words into tags of the file.

A word is the name of a tag, an alias, an abbreviation such as `/lh`, or a wildcard. The tags of a search are looked up
once, with one or two queries.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from hakubooru.nearest import closest
from hakubooru.select.danbooru.grammar import (
    All,
    Either,
    Except,
    Leaf,
    Name,
    Query,
    Term,
    Wildcard,
    is_balanced,
)
from hakubooru.select.danbooru.metatags import NAMING, Metatag, answered
from hakubooru.select.danbooru.mistakes import CLOSES_NOTHING, mistake
from hakubooru.select.danbooru.orders import CUSTOM, NONE, RANDOM, custom_terms, order_terms
from hakubooru.select.predicates import And, Or, Predicate, Tagged
from hakubooru.select.steps import Filtered, Ordered
from hakubooru.store.tags import Tags, like_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.errors import SearchError
    from hakubooru.select.builder import Builder
    from hakubooru.store.store import Store

MOST_TAGS: Final = 100
"""How many tags a wildcard may match. Danbooru silently ignores further ones."""
_MOST_WORDS: Final = 6
"""How many neighbouring words are tried as one tag."""
_MOST_STEPS: Final = 50
_SIGN: Final = re.compile(r"(?P<name>\w+)(?P<rest>[<>=]+.+)")
"""A metatag without its colon, such as `score>20`."""

TagNames: TypeAlias = "dict[Leaf, tuple[str, ...]]"
"""The names of tags by the tag or wildcard of a search that means them."""
_Selection = TypeVar("_Selection", bound="Builder[Any]")


def apply(
    query: Query,
    selection: _Selection,
    *,
    now: datetime | None = None,
    implications: bool = False,
    seed: int = 0,
) -> _Selection:
    """Apply a search to a selection: keep the posts that it finds, in the order that it asks for.

    Tag names are looked up at once, with one or two queries. Nothing else runs until you ask for a result.

    Args:
        query: a parsed search.
        selection: the posts to search in.
        now: the moment from which `age:` counts back; by default, the present.
        implications: whether the name of a tag also means the tags that imply it.
        seed: the seed of `random:` and `order:random`.

    Raises:
        SearchError: the database does not have a tag, or a wildcard matches none or too many; the message shows
            the place.
        InputError: `implications` is set, and the file has none.
    """
    tags = _tag_names(query, selection.database)
    if implications:
        tags = _with_implying(tags, selection.database)
    # Each top-level term is a step of its own, so that a funnel counts it.
    terms = query.terms if len(query.terms) <= _MOST_STEPS else (query.condition,)
    step = selection.step
    for predicate in [_predicate(term, tags, now or datetime.now(UTC)) for term in terms]:
        step = Filtered(step, predicate)
    selection = type(selection)(selection.database, step)
    if query.random is not None:
        selection = selection.shuffle(seed=seed).limit(query.random)
    order = query.order or ("id_desc" if query.limit is not None and query.random is None else NONE)
    if order == RANDOM:
        selection = selection.shuffle(seed=seed)
    elif order != NONE:
        keys = (
            custom_terms(query.listed_ids())
            if order == CUSTOM
            else order_terms(order, selection.database.joined_columns)
        )
        selection = type(selection)(selection.database, Ordered(selection.step, keys))
    return selection if query.limit is None else selection.limit(query.limit)


def caveats(query: Query) -> list[str]:
    """The metatags of a search that the file answers differently from Danbooru, one sentence for each."""
    metatags = dict.fromkeys(leaf for leaf in query.leaves if isinstance(leaf, Metatag))
    return [f"{metatag}: {metatag.caveat}" for metatag in metatags if metatag.caveat]


def _predicate(term: Term, tags: TagNames, now: datetime) -> Predicate:
    match term:
        case All(parts):
            return And(tuple(_predicate(part, tags, now) for part in parts))
        case Either(parts):
            return Or(tuple(_predicate(part, tags, now) for part in parts))
        case Except(part):
            return ~_predicate(part, tags, now)
        case Metatag(name) if name != NAMING:
            return term.condition_at(now)
        case _:
            tagged = tuple(Tagged(name, is_known=True) for name in tags[term])
            return tagged[0] if len(tagged) == 1 else Or(tagged)


def _tag_names(query: Query, database: Store) -> TagNames:
    """Look up the tags of a search, with one or two queries.

    An alias means its tag, even if a tag with the alias's name still exists, because Danbooru has moved its posts.
    `unaliased:` means the tag of exactly that name.

    Raises:
        SearchError: the database does not have a tag, or a wildcard matches none or too many; the message shows
            the place.
    """
    terms = [leaf for leaf in query.leaves if not isinstance(leaf, Metatag) or leaf.name == NAMING]
    names = {name for leaf in terms for name in (_written(leaf), _written(leaf).lower())}
    existing, aliases = Tags(database).look_up(names)
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


def _with_implying(tags: TagNames, database: Store) -> TagNames:
    """Add to each tag that is named the tags that imply it."""
    named = {leaf: names[0] for leaf, names in tags.items() if isinstance(leaf, Name)}
    implying = Tags(database).implying(named.values())
    return tags | {leaf: (name, *implying.get(name, ())) for leaf, name in named.items()}


def _written(leaf: Leaf) -> str:
    match leaf:
        case Name(name):
            return name
        case Wildcard(pattern):
            return pattern
        case Metatag(_, value):
            return value


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
    if "," in name and (words := name.replace(",", " ").split()):
        hints.append(f"blanks stand between tags, not commas: write {' '.join(words)}")
    if (sign := _SIGN.fullmatch(name)) and sign["name"].lower() in answered():
        hints.append(f"a metatag has a colon: write {sign['name']}:{sign['rest']}")
    prefix, colon, _ = name.partition(":")
    if not is_balanced(name):
        hints.append("one of its parentheses has no partner")
    if colon and (metatag := closest(prefix.lower(), [*answered(), *database.joined_columns])):
        hints.append(f"the nearest metatag is {metatag}:")
    if near := Tags(database).nearest(name):
        hints.append(f"similar tags: {', '.join(near)}")
    return mistake(
        text, leaf.place, f"{message}; {'; '.join(hints) or 'no tag is similar to it: leave it out'}"
    )


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
        "_".join(_written(word).strip("\"',").lower() for word in run)
        for run in runs
        if _are_neighbours(run, text)
    ]
    existing, aliases = Tags(database).look_up(names)
    return max((name for name in names if name in existing or name in aliases), key=len, default=None)


def _are_neighbours(run: Sequence[Leaf], text: str) -> bool:
    return all(text[word.place[1] : after.place[0]].isspace() for word, after in pairwise(run))
