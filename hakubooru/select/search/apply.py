"""Turn the syntax tree of a search into steps of a selection."""

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
"""The seed of `order:random` and `random:`."""

_MOST_STEPS: Final = 50
_Selection = TypeVar("_Selection", bound="Steps")


def apply(query: Query, selection: _Selection, *, now: datetime | None = None) -> _Selection:
    """Apply a search to a selection: keep the posts that it finds, in the order that it asks for.

    Tag names are looked up at once, with one or two queries. Nothing else runs until you ask for a result.

    Args:
        query: a parsed search.
        selection: the posts to search in.
        now: the moment from which `age:` counts back; by default, the present.

    Raises:
        SearchError: the database does not have a tag, or a wildcard matches none or too many; the message shows
            the place.
    """
    tags = tag_names(query, selection.database)
    # Each top-level term is a step of its own, so that a funnel counts it.
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
    """The metatags of a search that the file answers differently from Danbooru, one sentence for each."""
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
