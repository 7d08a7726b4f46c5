"""From the syntax tree of a search to steps of a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from hakubooru.select.predicate import And, Or, Predicate, Tagged
from hakubooru.select.search.metatags import condition
from hakubooru.select.search.names import is_tag, tag_names
from hakubooru.select.search.orders import CUSTOM, NONE, RANDOM, custom_ids, custom_terms, order_terms
from hakubooru.select.search.states import caveat
from hakubooru.select.search.syntax import All, Either, Except, Metatag, Query, Term, leaves
from hakubooru.select.step import Ordered

if TYPE_CHECKING:
    from datetime import datetime

    from hakubooru.select.search.names import TagNames
    from hakubooru.select.steps import Steps

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
    tags = tag_names(query, selection.database)
    # A step for each term at the top, so that a funnel shows them one by one.
    parts = query.condition.parts if isinstance(query.condition, All) else (query.condition,)
    for part in parts if len(parts) <= _MOST_STEPS else (query.condition,):
        selection = selection.where(_predicate(part, tags, now))
    if query.random is not None:
        selection = selection.shuffle(seed=SEED).limit(query.random)
    order = query.order or ("id_desc" if query.limit is not None and query.random is None else NONE)
    if order == RANDOM:
        selection = selection.shuffle(seed=SEED)
    elif order != NONE:
        terms = custom_terms(custom_ids(query.condition)) if order == CUSTOM else order_terms(order)
        selection = type(selection)(selection.database, Ordered(selection.step, terms))
    return selection if query.limit is None else selection.limit(query.limit)


def caveats(query: Query) -> list[str]:
    """What a search finds otherwise than Danbooru, since the file does not know better; a sentence for each metatag."""
    metatags = dict.fromkeys(leaf for leaf in leaves(query.condition) if isinstance(leaf, Metatag))
    return [f"{metatag}: {note}" for metatag in metatags if (note := caveat(metatag))]


def _predicate(term: Term, tags: TagNames, now: datetime | None) -> Predicate:
    match term:
        case All(parts):
            return And(tuple(_predicate(part, tags, now) for part in parts))
        case Either(parts):
            return Or(tuple(_predicate(part, tags, now) for part in parts))
        case Except(part):
            return ~_predicate(part, tags, now)
        case Metatag() if not is_tag(term):
            return condition(term, now)
        case _:
            names = tags[term]
            return Tagged(names[0]) if len(names) == 1 else Or(tuple(Tagged(name) for name in names))
