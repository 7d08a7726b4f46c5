"""Filter posts: NumPy evaluates predicates over columns, and SQLite all others, and those about few posts.

Neighbouring filters run together: in one pass over the columns, in one statement, or first the one and then the other.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.engine.masks import LeftToSQLiteError, is_answered, truth
from hakubooru.errors import DatabaseFileError
from hakubooru.select.predicates import IdRange, Predicate, Tagged, conjuncts
from hakubooru.store.schema import Post
from hakubooru.store.sql import id_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peewee import Node

    from hakubooru.arrays import Ids
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.columns import Columns, FileColumns
    from hakubooru.engine.masks import Mask

LOOKUP_COST: Final = 10
"""How many rows SQLite scans in the time of one lookup by id (measured on a million posts)."""

_FEW: Final = 4
"""Columns are read if a filter is on more than one post in this many; below that, SQLite filters."""

LOOKUPS_A_QUERY: Final = 100_000
"""How many ids one statement looks up."""


class Route(Enum):
    """The part of the program that evaluates a predicate."""

    COLUMNS = "NumPy, over columns"
    UNLESS_FEW = "NumPy, over columns; SQLite, if it is about few posts"
    SQLITE = "SQLite, in one statement with the filters around it"


def routes(columns: FileColumns, predicates: Sequence[Predicate]) -> list[Route]:
    """The route of each of some neighbouring filters, as columns are now; nothing is read."""
    are_answered = [is_answered(part, columns) for part in predicates]
    if columns.are_read():
        return [Route.COLUMNS if is_answer else Route.SQLITE for is_answer in are_answered]
    # If SQLite scans the posts for a tag anyway, it checks the numbers in the same scan; columns would take another.
    return [Route.UNLESS_FEW if all(are_answered) else Route.SQLITE] * len(predicates)


def keep(store: CachedStore, source: Ids | None, predicates: Sequence[Predicate]) -> Ids:
    """Keep the posts of a source that match all predicates, in the source's order; None stands for the whole file."""
    columns = store.cache.columns
    if not columns.are_read() and (
        Route.SQLITE in routes(columns, predicates) or _is_few(columns, source, predicates)
    ):
        return ask_sqlite(store, source, predicates)
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
        ids = members(source, about.ids[mask])
    if not others:
        return ids
    return ask_sqlite(store, None if source is None and mask is None else ids, others)


def ask_sqlite(
    store: CachedStore,
    source: Ids | None,
    predicates: Sequence[Predicate],
    *,
    lookup_cost: int = LOOKUP_COST,
) -> Ids:
    """Keep the ids of a source that the file has and that match the predicates, in the source's order."""
    if source is None:
        return _scan(store, predicates)
    if not len(source):
        return source
    low, high = int(source.min()), int(source.max())
    if len(source) * lookup_cost >= high - low:
        return members(source, _scan(store, predicates, low=low, high=high))
    chunks = (source[start : start + LOOKUPS_A_QUERY] for start in range(0, len(source), LOOKUPS_A_QUERY))
    return members(source, np.concatenate([_scan(store, predicates, among=chunk) for chunk in chunks]))


def sort_in_sqlite(
    store: CachedStore, terms: Sequence[Node], limit: int | None, predicates: Sequence[Predicate] = ()
) -> Ids:
    """The ids of the posts that match the predicates, sorted by SQL terms; with a limit, only the first of them."""
    query = Post.select(Post.id).order_by(*terms).limit(limit)
    return _column(store, query.where(*predicates) if predicates else query)


def sort_ids(store: CachedStore, source: Ids, terms: Sequence[Node], limit: int | None) -> Ids:
    """Sort ids by SQL terms; with a limit, only the first of them."""
    if len(source) <= LOOKUPS_A_QUERY:
        listed = Post.select(Post.id).where(Post.id.in_(id_list(source)))
        return _column(store, listed.order_by(*terms).limit(limit))
    return members(sort_in_sqlite(store, terms, None), source)[:limit]


def members(ids: Ids, of: Ids) -> Ids:
    """The ids that are also in a second set, in the order of the first."""
    common: Ids = ids[np.isin(ids, of, assume_unique=True)]
    return common


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


def _is_few(columns: FileColumns, source: Ids | None, predicates: Sequence[Predicate]) -> bool:
    """Whether the posts are so few that SQLite finds them faster than a scan reads the columns of all posts."""
    first, last = columns.span()
    low, high = first, last
    for part in predicates:
        if isinstance(part, IdRange):
            low, high = max(low, part.low), high if part.high is None else min(high, part.high)
    count = min(high - low, len(source) if source is not None else last - first)
    return count * _FEW < last - first


def _scan(
    store: CachedStore,
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
    query = Post.select(Post.id)
    return _column(store, (query.where(*conditions) if conditions else query).order_by(Post.id))


def _column(store: CachedStore, query: Any) -> Ids:
    sql, parameters = store.compile(query)
    try:
        return store.reader.column(sql, parameters)
    except DatabaseFileError as error:
        if "no such" not in str(error):
            raise
        # A function that was registered in Python: only Python's connection has it.
        rows = store.connection().execute(sql, parameters)
        return np.fromiter((value for (value,) in rows), np.int64)
