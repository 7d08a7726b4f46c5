"""Evaluate the steps of a selection to ids.

NumPy evaluates filters over numeric columns, which one scan reads. SQLite evaluates all other filters, and filters on few
posts; neighbouring filters run in one statement. NumPy evaluates sets and samples.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from peewee import SQL

from hakubooru.arrays import ascending, read_ascending
from hakubooru.select.family import best_of_family
from hakubooru.select.groups import sample_per
from hakubooru.select.predicates import IdRange, Predicate, Tagged, conjuncts, tags_asked
from hakubooru.select.sampling import sample, sample_weighted, shuffle
from hakubooru.select.steps import (
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
"""How many rows SQLite scans in the time of one lookup by id (measured on a million posts)."""

_LOOKUPS_A_QUERY: Final = 100_000

_FEW: Final = 4
"""Columns are read if a filter is on more than one post in this many; below that, SQLite filters."""


def check_tags(database: CachedStore, step: Step) -> None:
    """Check that the database has every tag of a selection, with the type it must have; runs one or two queries.

    Raises:
        UnknownTagError: the database does not have a tag; the message names the nearest ones.
        InputError: a tag has another type.
    """
    filters = (part for part in walk(step) if isinstance(part, Filtered))
    tags = [tag for part in filters for tag in tags_asked(part.predicate)]
    if tags:
        reader = Tags(database)
        reader.check(tag.name for tag in tags)
        reader.check_types({tag.name: tag.type for tag in tags if tag.type is not None})


def evaluate(database: CachedStore, step: Step) -> Ids:
    """The ids of a selection, (N,) int64, in its order: ascending, unless a step ordered them.

    Raises:
        SampleError: a sample asks for more posts than there are to draw from.
    """
    cached = database.memory.get(step)
    if cached is not None:
        return cached
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
    """Split a step into the predicates of the filters at its end and the step that they filter."""
    predicates: list[Predicate] = []
    while isinstance(step, Filtered) and (not predicates or not until(step)):
        predicates.insert(0, step.predicate)
        step = step.source
    return predicates, step


def sample_size(step: Sampled, population: int) -> int:
    """How many posts a sample draws; a fraction of the population is rounded to the nearest integer."""
    return step.size if isinstance(step.size, int) else floor(step.size * population + 0.5)


def combine(step: Combined, left: Ids, right: Ids) -> Ids:
    """Combine two sets of ids to their union, intersection or difference, ascending."""
    if step.operator == "|":
        both = ascending(np.concatenate([left, right]))
        first = np.ones(len(both), bool)
        np.not_equal(both[1:], both[:-1], out=first[1:])
        return both[first]
    inside = np.isin(left, right, assume_unique=True)
    return ascending(left[inside if step.operator == "&" else ~inside])


def keep(database: CachedStore, source: Ids | None, predicates: Sequence[Predicate]) -> Ids:
    """Keep the posts of a source that match all predicates, in the source's order; None stands for the whole file."""
    columns = database.memory.columns
    # If SQLite scans the posts for a tag anyway, it checks the numbers in the same scan; columns would take another.
    if _is_few(database, source, predicates) or not (
        columns.are_read() or _are_answered(columns, predicates)
    ):
        return _ask_sqlite(database, source, predicates)
    parts = [part for predicate in predicates for part in conjuncts(predicate)]
    about = columns.about([part.name for part in parts if isinstance(part, Tagged)])
    mask, others = _answer(about, parts)
    if source is None:
        ids = about.ids if mask is None else about.ids[mask]
    elif mask is None:
        ids = source
    elif about is columns:
        ids = source[mask[np.searchsorted(columns.ids, source)]]
    else:
        ids = _members(source, about.ids[mask])
    if not others:
        return ids
    return _ask_sqlite(database, None if source is None and mask is None else ids, others)


def _answer(columns: Columns, parts: Sequence[Predicate]) -> tuple[Mask | None, list[Predicate]]:
    """The mask of the posts that match all predicates which columns can answer, and the predicates for SQLite.

    The mask is None if columns can answer none of the predicates.
    """
    mask: Mask | None = None
    others = []
    for part in parts:
        try:
            holds = truth(part, columns).true
        except LeftToSQLiteError:
            others.append(part)
        else:
            mask = holds if mask is None else mask & holds
    return mask, others


def _are_answered(columns: Columns, predicates: Sequence[Predicate]) -> bool:
    return all(is_answered(part, columns) for part in predicates)


def _is_few(database: CachedStore, source: Ids | None, predicates: Sequence[Predicate]) -> bool:
    """Whether the posts are so few that SQLite finds them faster than a scan reads the columns of all posts."""
    if database.memory.columns.are_read():
        return False
    first, last = database.memory.columns.span()
    low, high = first, last
    for part in predicates:
        if isinstance(part, IdRange):
            low, high = max(low, part.low), high if part.high is None else min(high, part.high)
    count = min(high - low, len(source) if source is not None else last - first)
    return count * _FEW < last - first


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
    predicates: Sequence[Predicate],
    *,
    low: int | None = None,
    high: int | None = None,
    among: Ids | None = None,
) -> Ids:
    conditions: list[Node] = [*predicates]
    if low is not None and high is not None:
        conditions.append(Post.id.between(low, high))
    if among is not None:
        conditions.append(Post.id.in_(id_list(among)))
    last = Post.id > SQL("?", [None])
    sql, parameters = database.compile(Post.select(Post.id).where(*conditions, last).order_by(Post.id))
    return read_ascending(database.connection(), sql, parameters[:-1])


def _ask_sqlite(database: CachedStore, source: Ids | None, predicates: Sequence[Predicate]) -> Ids:
    """Keep the ids of a source that the file has and that match the predicates, in the source's order."""
    if source is None:
        return _scan(database, predicates)
    if not len(source):
        return source
    low, high = int(source.min()), int(source.max())
    if len(source) * _LOOKUP_COST >= high - low:
        return _members(source, _scan(database, predicates, low=low, high=high))
    chunks = (source[start : start + _LOOKUPS_A_QUERY] for start in range(0, len(source), _LOOKUPS_A_QUERY))
    return _members(source, np.concatenate([_scan(database, predicates, among=chunk) for chunk in chunks]))


def _ordered(database: CachedStore, step: Ordered | Limited) -> Ids:
    """The ids of a source, sorted; with a limit, only the first of them."""
    order, limit = (step.source, step.count) if isinstance(step, Limited) else (step, None)
    cached = database.memory.get(order)
    if cached is not None:
        return cached[:limit]
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
    # SQLite filters, sorts and limits in one scan.
    return _column(database, query.where(*predicates) if predicates else query)


def _column(database: CachedStore, query: Any) -> Ids:
    sql, parameters = database.compile(query)
    rows = database.connection().execute(sql, parameters)
    return np.fromiter((value for (value,) in rows), np.int64)


def _members(ids: Ids, of: Ids) -> Ids:
    members: Ids = ids[np.isin(ids, of, assume_unique=True)]
    return members
