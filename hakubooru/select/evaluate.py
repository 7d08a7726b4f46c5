"""From steps to ids.

A filter over numeric columns is worked out in NumPy, over columns that one scan reads; what asks for more, and what
is about few posts, runs in SQLite, as many filters at a time as stand together. Sets and samples are NumPy's.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from peewee import SQL

from hakubooru.arrays import ascending, read_ascending
from hakubooru.select.family import best_of_family
from hakubooru.select.groups import sample_per
from hakubooru.select.predicate import IdRange, Predicate, Tagged, conjuncts, tags_asked
from hakubooru.select.sampling import sample, sample_weighted, shuffle
from hakubooru.select.step import (
    Among,
    BestOfFamily,
    Combined,
    Everything,
    Filtered,
    Limited,
    Narrowing,
    Ordered,
    Sampled,
    SampledPer,
    SampledWeighted,
    Shuffled,
    Step,
    walk,
)
from hakubooru.select.vector import LeftToSQLiteError, is_answered, truth
from hakubooru.store.schema import Post
from hakubooru.store.sql import id_list
from hakubooru.store.tags import Tags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peewee import Node

    from hakubooru.arrays import Ids
    from hakubooru.select.columns import Columns
    from hakubooru.select.memory import CachedStore
    from hakubooru.select.vector import Mask

_LOOKUP_COST: Final = 10
"""How many rows SQLite passes in a scan while it finds one by its id (measured on a million posts)."""

_LOOKUPS_A_QUERY: Final = 100_000

_FEW: Final = 4
"""Columns are read where more than one in so many posts is asked for."""


def check_tags(database: CachedStore, step: Step) -> None:
    """Check that the database has every tag that a selection asks for, of the type that it says, with a query or two.

    Raises:
        UnknownTagError: it lacks one; the message names the nearest.
        InputError: one is of another type.
    """
    filters = (part for part in walk(step) if isinstance(part, Filtered))
    asked = [tag for part in filters for tag in tags_asked(part.predicate)]
    if asked:
        tags = Tags(database)
        tags.check(tag.name for tag in asked)
        tags.check_types({tag.name: tag.type for tag in asked if tag.type is not None})


def evaluate(database: CachedStore, step: Step) -> Ids:
    """The ids of a selection, (N,) int64, in its order: ascending, unless a step ordered them.

    Raises:
        SampleError: a sample is larger than what it is drawn from.
    """
    known = database.memory.get(step)
    if known is not None:
        return known
    match step:
        case Everything():
            return keep(database, None, [])
        case Filtered():
            return _filtered(database, step)
        case Among(source, packed):
            ids = np.frombuffer(packed, "<i8").astype(np.int64)
            return (
                _ask_sqlite(database, ids, [])
                if source == Everything()
                else _members(evaluate(database, source), ids)
            )
        case Combined(_, left, right):
            return combine(step, evaluate(database, left), evaluate(database, right))
        case Ordered() | Limited(Ordered()):
            return _ordered(database, step)
        case _:
            return _narrowed(database, step, evaluate(database, step.source))


def unwind(step: Step, until: Callable[[Step], bool]) -> tuple[list[Predicate], Step]:
    """The predicates of the filters that stand together at the end of a selection, and what they filter."""
    predicates: list[Predicate] = []
    while isinstance(step, Filtered) and (not predicates or not until(step)):
        predicates.insert(0, step.predicate)
        step = step.source
    return predicates, step


def sample_size(step: Sampled, population: int) -> int:
    """How many posts a sample takes, a fraction being rounded to the nearest."""
    return step.size if isinstance(step.size, int) else floor(step.size * population + 0.5)


def combine(step: Combined, left: Ids, right: Ids) -> Ids:
    """The union, intersection or difference of two sets of ids, ascending."""
    if step.operator == "|":
        both = ascending(np.concatenate([left, right]))
        first = np.ones(len(both), bool)
        np.not_equal(both[1:], both[:-1], out=first[1:])
        return both[first]
    inside = np.isin(left, right, assume_unique=True)
    return ascending(left[inside if step.operator == "&" else ~inside])


def keep(database: CachedStore, source: Ids | None, wanted: Sequence[Predicate]) -> Ids:
    """The posts of a source (None: of the file) for which all of some predicates hold, in the source's order."""
    columns = database.memory.columns
    # A scan that SQLite makes for a tag answers for the numbers too: none is made to read columns as well.
    if _is_few(database, source, wanted) or not (columns.are_read() or _are_answered(columns, wanted)):
        return _ask_sqlite(database, source, wanted)
    parts = [part for one in wanted for part in conjuncts(one)]
    about = columns.about([part.name for part in parts if isinstance(part, Tagged)])
    mask, left = _answer(about, parts)
    if source is None:
        found = about.ids if mask is None else about.ids[mask]
    elif mask is None:
        found = source
    elif about is columns:
        found = source[mask[np.searchsorted(columns.ids, source)]]
    else:
        found = _members(source, about.ids[mask])
    if not left:
        return found
    return _ask_sqlite(database, None if source is None and mask is None else found, left)


def _answer(columns: Columns, parts: Sequence[Predicate]) -> tuple[Mask | None, list[Predicate]]:
    """Where all that columns can answer holds, None where they can answer nothing; and what is left to SQLite."""
    mask: Mask | None = None
    left = []
    for part in parts:
        try:
            holds = truth(part, columns).true
        except LeftToSQLiteError:
            left.append(part)
        else:
            mask = holds if mask is None else mask & holds
    return mask, left


def _are_answered(columns: Columns, wanted: Sequence[Predicate]) -> bool:
    return all(is_answered(part, columns) for part in wanted)


def _is_few(database: CachedStore, source: Ids | None, wanted: Sequence[Predicate]) -> bool:
    """Whether so few posts are asked for that SQLite finds them sooner than a scan reads columns of all."""
    if database.memory.columns.are_read():
        return False
    first, last = database.memory.columns.span()
    low, high = first, last
    for part in wanted:
        if isinstance(part, IdRange):
            low, high = max(low, part.low), high if part.high is None else min(high, part.high)
    asked = min(high - low, len(source) if source is not None else last - first)
    return asked * _FEW < last - first


def _narrowed(database: CachedStore, step: Narrowing, source: Ids) -> Ids:
    match step:
        case Sampled(_, _, seed):
            return sample(source, sample_size(step, len(source)), seed)
        case SampledPer(_, by, at_most, seed):
            return sample_per(database, source, by, at_most, seed)
        case SampledWeighted(_, column, size, seed):
            columns = database.memory.columns
            weights = columns[column][np.searchsorted(columns.ids, source)]
            return sample_weighted(source, weights, size, seed)
        case Shuffled(_, seed):
            return shuffle(source, seed)
        case Limited(_, count):
            return source[:count]
        case BestOfFamily(_, by):
            return best_of_family(source, database.memory.columns, by)


def _filtered(database: CachedStore, step: Filtered) -> Ids:
    predicates, base = unwind(step, until=database.memory.__contains__)
    return keep(database, None if base == Everything() else evaluate(database, base), predicates)


def _scan(
    database: CachedStore,
    wanted: Sequence[Predicate],
    *,
    low: int | None = None,
    high: int | None = None,
    among: Ids | None = None,
) -> Ids:
    conditions: list[Node] = [*wanted]
    if low is not None and high is not None:
        conditions.append(Post.id.between(low, high))
    if among is not None:
        conditions.append(Post.id.in_(id_list(among)))
    last = Post.id > SQL("?", [None])
    sql, parameters = database.compile(Post.select(Post.id).where(*conditions, last).order_by(Post.id))
    return read_ascending(database.connection(), sql, parameters[:-1])


def _ask_sqlite(database: CachedStore, source: Ids | None, wanted: Sequence[Predicate]) -> Ids:
    """Those ids of a source that the file has and for which predicates hold, in the source's order."""
    if source is None:
        return _scan(database, wanted)
    if not len(source):
        return source
    low, high = int(source.min()), int(source.max())
    if len(source) * _LOOKUP_COST >= high - low:
        return _members(source, _scan(database, wanted, low=low, high=high))
    chunks = (source[start : start + _LOOKUPS_A_QUERY] for start in range(0, len(source), _LOOKUPS_A_QUERY))
    return _members(source, np.concatenate([_scan(database, wanted, among=chunk) for chunk in chunks]))


def _ordered(database: CachedStore, step: Ordered | Limited) -> Ids:
    """The posts of a source in an order, or the first of them."""
    order, limit = (step.source, step.count) if isinstance(step, Limited) else (step, None)
    known = database.memory.get(order)
    if known is not None:
        return known[:limit]
    assert isinstance(order, Ordered)
    query = Post.select(Post.id).order_by(*(term.node for term in order.terms)).limit(limit)
    columns = database.memory.columns
    predicates, base = unwind(order.source, until=database.memory.__contains__)
    filters_file = base == Everything() and order.source not in database.memory
    if not filters_file or (columns.are_read() and _are_answered(columns, predicates)):
        source = evaluate(database, order.source)
        if len(source) <= _LOOKUPS_A_QUERY:
            return _column(database, query.where(Post.id.in_(id_list(source))))
        if not filters_file:
            return _members(_column(database, query.limit(None)), source)[:limit]
    # SQLite filters, orders and counts off in one scan.
    return _column(database, query.where(*predicates) if predicates else query)


def _column(database: CachedStore, query: Any) -> Ids:
    sql, parameters = database.compile(query)
    rows = database.connection().execute(sql, parameters)
    return np.fromiter((value for (value,) in rows), np.int64)


def _members(ids: Ids, of: Ids) -> Ids:
    members: Ids = ids[np.isin(ids, of, assume_unique=True)]
    return members
