"""Filter posts: NumPy evaluates predicates over columns, and SQLite all others, and those about few posts.

Neighbouring filters run together: in one pass over the columns, in one statement, or first the one and then the other.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from enum import Enum
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
from peewee import SQL, NodeList

from hakubooru.arrays import id_text
from hakubooru.engine.masks import TagLists, are_answered, truth
from hakubooru.engine.sorting import sort_by_columns
from hakubooru.errors import DatabaseFileError
from hakubooru.select.predicates import And, IdRange, Not, Or, Predicate, Tagged
from hakubooru.store.schema import Post, id_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from peewee import Node

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.columns import Columns, FileColumns, PostColumns
    from hakubooru.engine.masks import Mask
    from hakubooru.store.store import Store

LOOKUP_COST: Final = 10
"""How many rows SQLite scans in the time of one lookup by id (measured on a million posts)."""

FEW: Final = 4
"""Columns are read if a filter is on more than one post in this many; below that, SQLite filters."""

LOOKUPS_A_QUERY: Final = 100_000
"""How many ids one statement looks up."""

FEW_POSTS: Final = 5_000
"""For at most this many posts, SQLite looks up the tags of each; else the posts of each tag are listed.

A lookup takes some 11 microseconds, and a list takes one for each post of the tag.
"""

_WIDEST: Final = 2**28
"""If the ids span more numbers than this, posts of tags are not listed; a bool for each number takes 256 MB."""

_COUNTS: Final = """
SELECT name, (SELECT COUNT(*) FROM (SELECT 1 FROM posttagrelation WHERE tag_id = tag.id LIMIT ?))
FROM tag WHERE name IN (SELECT value FROM json_each(?))
"""


class Route(Enum):
    """The part of the program that evaluates a predicate."""

    COLUMNS = "NumPy, over columns"
    UNLESS_FEW = "NumPy, over columns; SQLite, if it is about few posts"
    LISTS = "lists of the posts of each tag; SQLite, if it is about few posts"
    MIXED = "lists of the posts of each tag, and SQLite for the rest"
    SQLITE = "SQLite, in one statement with the filters around it"


class Filters:
    """Neighbouring filters: which part of the program evaluates each, and the posts that match all of them.

    What columns can answer is found out once. Whether columns or SQLite are faster is decided when the filters run,
    since it depends on the posts before them, and on the columns that are in memory by then.
    """

    def __init__(self, store: Store, columns: FileColumns, predicates: Sequence[Predicate]) -> None:
        self.predicates = predicates
        self._store = store
        self._columns = columns
        self._span = columns.span()
        # What a post must match one by one: a part may go another way than the rest of its filter.
        self._parts = [one.parts if isinstance(one, And) else (one,) for one in predicates]
        parts = list(chain.from_iterable(self._parts))
        self._is_answered = dict(zip(parts, are_answered(parts, columns), strict=True))
        of_tags = {part: all(isinstance(leaf, Tagged) for leaf in _leaves(part)) for part in parts}
        has_lists = any(of_tags.values()) and self._span[1] - self._span[0] <= _WIDEST
        self._is_listed = {part: has_lists and is_of_tags for part, is_of_tags in of_tags.items()}

    def routes(self) -> list[Route]:
        """The route of each filter, as columns are now; nothing is read."""
        are_read = self._columns.are_read()
        if not are_read and all(self._is_answered.values()):
            return [Route.UNLESS_FEW] * len(self._parts)
        routes = []
        for parts in self._parts:
            are_listed = {self._is_listed[part] for part in parts}
            if are_read and all(self._is_answered[part] for part in parts):
                routes.append(Route.COLUMNS)
            elif are_listed == {True}:
                routes.append(Route.LISTS)
            else:
                routes.append(Route.MIXED if True in are_listed else Route.SQLITE)
        return routes

    def keep(self, source: Ids | None = None, *, few: int = FEW, few_posts: int = FEW_POSTS) -> Ids:
        """Keep the posts of a source that match all filters, in the source's order.

        Args:
            source: ids of posts of the file, (N,) int64; None stands for the whole file.
            few: without columns in memory, SQLite filters fewer than one post in this many.
            few_posts: for at most this many posts, SQLite looks up the tags of each.
        """
        store, columns, ids = self._store, self._columns, source
        most, are_read = self._most(source), columns.are_read()
        parts = list(self._is_answered)
        has_tags = any(self._is_listed.values())
        if not are_read and columns.are_few(most, few) and (most <= few_posts or not has_tags):
            if source is None and most <= few_posts and not all(self._is_answered.values()):
                ids = ask_sqlite(store, None, [part for part in parts if isinstance(part, IdRange)])
            return ask_sqlite(store, ids, self.predicates, few_posts=few_posts)
        # If SQLite scans the posts for the rest anyway, it checks the numbers in the same scan.
        if are_read or all(self._is_answered.values()):
            ids, parts = self._by_columns(source)
            if not parts:
                return columns.only_ids() if ids is None else ids
        tags = [part for part in parts if self._is_listed[part]]
        rest = [part for part in parts if not self._is_listed[part]]
        if tags and rest and most > few_posts and self._are_common(tags):
            # SQLite scans the posts for the rest anyway, and may leave few.
            ids, parts, rest = ask_sqlite(store, ids, rest), tags, []
        if not tags or (ids is not None and len(ids) <= few_posts):
            return ask_sqlite(store, ids, parts, few_posts=few_posts)
        tagged = _by_lists(store, ids, tags, self._span)
        if not rest and ids is not None:
            return tagged
        if not rest and (columns.are_read("id") or not columns.are_few(len(tagged), LOOKUP_COST)):
            # A relation may name a post that the file does not have.
            return members(tagged, columns.only_ids())
        return ask_sqlite(store, tagged, rest, few_posts=few_posts)

    def are_narrow(self) -> bool:
        """Whether ranges of ids leave so few posts of the whole file that SQLite looks up the tags of each."""
        most = self._most(None)
        return most <= FEW_POSTS and self._columns.are_few(most, FEW)

    def _most(self, source: Ids | None) -> int:
        """The most posts that a source and ranges of ids leave; None stands for the whole file."""
        low, high = self._span
        for part in self._is_answered:
            if isinstance(part, IdRange):
                low, high = max(low, part.low), high if part.high is None else min(high, part.high)
        most = max(high - low, 0)
        return most if source is None else min(most, len(source))

    def _are_common(self, parts: Sequence[Predicate]) -> bool:
        """Whether predicates about tags leave so many posts, as far as counts say, that SQLite scans all for the rest."""
        first, end = self._span
        enough = (end - first) // LOOKUP_COST
        names = json.dumps(
            sorted({leaf.name for leaf in _leaves(And(tuple(parts))) if isinstance(leaf, Tagged)})
        )
        counts = dict(self._store.rows(_COUNTS, [enough, names]))

        def most(part: Predicate) -> int:
            match part:
                case Tagged(name):
                    return int(counts.get(name, 0))
                case Or(parts):
                    return sum(map(most, parts))
                case And(parts):
                    return min(map(most, parts), default=enough)
            return enough

        return all(most(part) >= enough for part in parts)

    def first(self, terms: Sequence[Node], limit: int | None) -> Ids:
        """The posts of the file that match all filters, sorted by SQL terms; with a limit, only the first of them.

        Columns in memory must answer the filters, and have the values of the terms.
        """
        columns, mask = self._matching(list(self._is_answered))
        return sort_by_columns(columns, terms, limit, mask)

    def _by_columns(self, source: Ids | None) -> tuple[Ids | None, list[Predicate]]:
        """Keep the posts that match what columns can answer; gives their ids, and the other predicates.

        The ids are None if they are the whole file.
        """
        columns = self._columns
        parts = [part for part, is_answered in self._is_answered.items() if is_answered]
        others = [part for part, is_answered in self._is_answered.items() if not is_answered]
        if not parts:
            return source, others
        if source is None:
            about, mask = self._matching(parts)
            if mask is None:
                return about.ids, others
            return np.compress(mask, about["id"]).astype(np.int64, copy=False), others
        about = columns.about([part.name for part in parts if isinstance(part, Tagged)])
        mask = _mask(parts, about)
        if about is columns:
            return np.compress(columns.at(mask, source), source), others
        return members(source, about.ids[mask]), others

    def _matching(self, parts: Sequence[Predicate]) -> tuple[PostColumns, Mask | None]:
        """Columns with the posts of the file that match, and which of them do, (N,) bool; None stands for all."""
        columns: PostColumns = self._columns.about([part.name for part in parts if isinstance(part, Tagged)])
        ranges = [part for part in parts if isinstance(part, IdRange)]
        if ranges and columns is self._columns:
            columns = self._columns.some(_places(self._columns["id"], ranges))
            parts = [part for part in parts if not isinstance(part, IdRange)]
        return columns, _mask(parts, columns) if parts else None


def _mask(parts: Sequence[Predicate], columns: Columns) -> Mask:
    """Which posts match all predicates, (N,) bool."""
    return reduce(np.logical_and, (truth(part, columns).true for part in parts))


def _places(ids: Values, ranges: Sequence[IdRange]) -> slice:
    """The places of the ids, (N,) ascending, that are in all ranges."""
    # NumPy's search would first convert all ids of fewer bytes.
    start = bisect_left(ids, max(part.low for part in ranges))
    end = min(bisect_left(ids, part.high) if part.high is not None else len(ids) for part in ranges)
    return slice(start, max(start, end))


def _leaves(predicate: Predicate) -> Iterator[Predicate]:
    """Iterate over the predicates that a conjunction, alternative or negation is made of."""
    match predicate:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case _:
            yield predicate


def _by_lists(
    store: Store, source: Ids | None, predicates: Sequence[Predicate], span: tuple[int, int]
) -> Ids:
    """Keep the posts that match predicates about tags, in the source's order.

    Without a source, the ids are ascending, and some may be of no post of the file.
    """
    asked = And(tuple(predicates))
    names = {leaf.name for leaf in _leaves(asked) if isinstance(leaf, Tagged)}
    lists = TagLists(store, names, span)
    mask = truth(asked, lists).true
    if source is None:
        return np.flatnonzero(mask) + lists.first
    return source[mask[source - lists.first]]


def ask_sqlite(
    store: Store,
    source: Ids | None,
    predicates: Sequence[Predicate],
    *,
    few_posts: int = FEW_POSTS,
    lookup_cost: int = LOOKUP_COST,
) -> Ids:
    """Keep the ids of a source that the file has and that match the predicates, in the source's order.

    Args:
        store: the file.
        source: ids, (N,) int64; None stands for the whole file.
        predicates: what the posts must match.
        few_posts: for at most this many posts, SQLite looks up the tags of each; else it lists the posts of each tag.
        lookup_cost: how many rows SQLite scans in the time of one lookup by id.
    """
    by_id = (Post.id,)
    if source is None:
        return sort_in_sqlite(store, by_id, None, predicates)
    if not len(source):
        return source
    low, high = int(source.min()), int(source.max())
    is_few = len(source) <= few_posts
    if not is_few and len(source) * lookup_cost >= high - low:
        between = NodeList((Post.id, SQL("BETWEEN ? AND ?", [low, high])))
        return members(source, sort_in_sqlite(store, by_id, None, [*predicates, between]))
    scans = []
    for start in range(0, len(source), LOOKUPS_A_QUERY):
        among = id_text(source[start : start + LOOKUPS_A_QUERY])
        listed = NodeList((Post.id, SQL("IN (SELECT value FROM json_each(?))", [among])))
        looked_up = among if is_few else None
        scans.append(sort_in_sqlite(store, by_id, None, [*predicates, listed], among=looked_up))
    return members(source, np.concatenate(scans))


def sort_in_sqlite(
    store: Store,
    terms: Sequence[Node],
    limit: int | None,
    conditions: Sequence[Node] = (),
    *,
    among: str | None = None,
) -> Ids:
    """The ids of the posts that meet all conditions, sorted by SQL terms; with a limit, only the first of them.

    Args:
        store: the file.
        terms: what the posts are sorted by.
        limit: how many of them; None for all.
        conditions: what the posts must meet.
        among: the only posts that count, as JSON, if SQLite is to look up the tags of each.
    """
    query = Post.select(Post.id).order_by(*terms).limit(limit)
    sql, parameters = store.compile(query.where(*conditions) if conditions else query, among=among)
    try:
        return store.reader.column(sql, parameters)
    except DatabaseFileError as error:
        if "no such" not in str(error):
            raise
        # A function that was registered in Python: only Python's connection has it.
        rows = store.connection().execute(sql, parameters)
        return np.fromiter((value for (value,) in rows), np.int64)


def sort_ids(store: Store, source: Ids, terms: Sequence[Node], limit: int | None) -> Ids:
    """Sort ids by SQL terms in SQLite; with a limit, only the first of them."""
    if len(source) <= LOOKUPS_A_QUERY:
        return sort_in_sqlite(store, terms, limit, [Post.id.in_(id_list(source))])
    return members(sort_in_sqlite(store, terms, None), source)[:limit]


def members(ids: Ids, of: Ids) -> Ids:
    """The ids that are also in a second set, in the order of the first."""
    common: Ids = np.compress(np.isin(ids, of, assume_unique=True), ids)
    return common
