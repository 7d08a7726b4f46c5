"""What a selection asks that a file does not know: an error where no post has the value, and a note where some have not.

A condition on a value that a post does not have is neither true nor false, as in SQL. So the post does not match the
condition, and matches its negation: `is:deleted` leaves it out, and `-is:deleted` keeps it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from peewee import Context, Ordering

from hakubooru.errors import InputError
from hakubooru.quantity import quantity
from hakubooru.select.steps import BestOfFamily, Filtered, Ordered, SampledPer, SampledWeighted, walk
from hakubooru.store.joined import JOINED_SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from peewee import Node

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.cache import CachedStore
    from hakubooru.select.steps import Step
    from hakubooru.store.store import Store

_COLUMN_OF_GROUP = {"rating": "rating", "year": "created_at"}


def check_known(store: Store, steps: Iterable[Step]) -> None:
    """Check that some post has each value that steps ask for, and every post has it where it is calculated with.

    Raises:
        InputError: a value is not known; the message names the step and the column.
    """
    about = store.about
    for part in steps:
        for column in _columns_of(part, {*about.lacking, *about.unknown}):
            if column in about.lacking:
                raise InputError(
                    f"{store.path} cannot answer {str(part)!r}: none of its sources has {column}; leave it out, or build "
                    f"the file from a set that has {column}"
                )
            if isinstance(part, SampledWeighted | BestOfFamily) or (
                isinstance(part, SampledPer) and column == "rating"
            ):
                raise InputError(
                    f"{store.path} cannot answer {str(part)!r}: {quantity(about.unknown[column], 'post does', 'posts do')} not have {column}; take "
                    "a column that all posts have"
                )


def unknown_last(store: Store, step: Ordered) -> list[Node]:
    """The terms of an order, in which posts without a value come last, whichever way it sorts: unknown is not the least."""
    terms = []
    for term in step.terms:
        node = term.node
        if any(re.search(rf"\b{column}\b", JOINED_SQL.sub("", term.sql)) for column in store.about.unknown):
            value, direction, nulls = (
                (node.node, node.direction, node.nulls) if isinstance(node, Ordering) else (node, "ASC", None)
            )
            node = Ordering(value, direction, nulls=nulls or "last")
        terms.append(node)
    return terms


def unknown_notes(store: Store, step: Step) -> Iterator[str]:
    """Say how many posts do not have the values that a selection asks for."""
    about = store.about
    columns = {column: None for part in walk(step) for column in _columns_of(part, about.unknown)}
    for column in columns:
        yield (
            f"{quantity(about.unknown[column], f'post does not say {column}: it matches', f'posts do not say {column}: they match')} "
            "no condition on it, and so the negation of each; an order of it has such posts last"
        )


def knowing(database: CachedStore, ids: Ids, *columns: str) -> Values | slice:
    """Which of some posts have a value of every column: (N,) bool, or the slice of all of them.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64.
        columns: columns of `post`.
    """
    about = database.about
    if {*about.lacking, *about.unknown}.isdisjoint(columns):
        return slice(None)
    cached = database.cache.columns
    places = np.searchsorted(cached.ids, ids)
    has_all: Values = np.full(len(ids), about.lacking.isdisjoint(columns))
    for column in set(columns).intersection(about.unknown):
        has_all &= ~cached.lacks(column)[places]
    return has_all


def _columns_of(step: Step, columns: Collection[str]) -> list[str]:
    """Those of the columns that a step asks for."""
    if not columns:
        return []
    match step:
        case Filtered():
            text = Context().sql(step.predicate).query()[0]
        case Ordered():
            text = " ".join(term.sql for term in step.terms)
        case SampledWeighted():
            text = step.column
        case BestOfFamily():
            text = f"{step.by} parent_id"
        case SampledPer():
            text = _COLUMN_OF_GROUP.get(step.by, "")
        case _:
            return []
    own = JOINED_SQL.sub("", text)  # a joined file may have a column of the same name
    return [column for column in sorted(columns) if re.search(rf"\b{column}\b", own)]
