"""Sort posts by SQL terms over columns that are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from peewee import Ordering

from hakubooru.arrays import Least
from hakubooru.engine.masks import LeftToSQLiteError, names_in, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peewee import Node

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.columns import Columns, FileColumns, PostColumns
    from hakubooru.engine.masks import Mask

_SHORT: Final = 2  # bytes

_A_PIECE: Final = 1 << 16
"""How many keys of an order are compared at a time."""


def can_sort(columns: FileColumns, terms: Sequence[Node]) -> bool:
    """Whether columns that are in memory can sort by SQL terms."""
    try:
        names = {name for value, _ in map(_term, terms) for name in names_in(value, columns)}
    except LeftToSQLiteError:
        return False
    return all(map(columns.are_read, names))


def sort_by_columns(
    columns: PostColumns, terms: Sequence[Node], limit: int | None, mask: Mask | None = None
) -> Ids:
    """The ids of posts, sorted by SQL terms over columns; with a limit, only the first. As in SQLite, NULL is the smallest.

    Args:
        columns: the columns of the posts, (N,) each; equals stay in their order.
        terms: the terms.
        limit: how many posts to give; None stands for all.
        mask: which of the posts to sort, (N,) bool; None stands for all.
    """
    if limit == 0:
        return np.empty(0, np.int64)
    if limit is not None:
        # Only posts that are not after the last one by the first key can be among the first.
        first = _sort_keys(columns, terms[:1])[0]
        least = Least(limit)
        for start in range(0, len(first), _A_PIECE):
            piece = slice(start, start + _A_PIECE)
            least.add(first[piece], None if mask is None else mask[piece])
        columns = columns.some(least.places())
    elif mask is not None:
        columns = columns.some(np.flatnonzero(mask))
    return columns.ids[_order(_sort_keys(columns, terms))][:limit]


def _sort_keys(columns: Columns, terms: Sequence[Node]) -> list[Values]:
    """The keys, (N,) each, that stand for SQL terms in an ascending order; the first counts most."""
    keys: list[Values] = []
    for value, sign in map(_term, terms):
        values, unknown = numbers(value, columns)
        if values.dtype.kind != "f":
            values = values.astype(
                np.int32 if values.dtype.itemsize <= _SHORT else np.int64
            )  # room for a sign
        signed = values if sign > 0 else -values
        keys += [signed] if unknown is None else [sign * (~unknown).astype(np.int8), signed]
    return keys


def _order(keys: Sequence[Values]) -> Values:
    """The places, (N,), that sort posts by keys, of which the first counts most.

    It sorts by the last key first, and each sort keeps the order of equal values. So numbers of 16 bits, such as scores,
    are sorted in linear time, and ids that are in order already take no sort; `np.lexsort` takes twice as long.
    """
    *others, last = keys
    if others and (last[1:] >= last[:-1]).all():
        return _order(others)
    if others and (last[1:] < last[:-1]).all():
        return len(last) - 1 - _order([key[::-1] for key in others])
    order = np.argsort(_narrow(last), kind="stable")
    for key in reversed(others):
        order = order[np.argsort(_narrow(key)[order], kind="stable")]
    return order


def _narrow(key: Values) -> Values:
    """Whole numbers as 16 bits with the same order, if they lie so near to each other; else unchanged."""
    if key.dtype.kind != "i" or not len(key):
        return key
    low, high = int(key.min()), int(key.max())
    return (key - low).astype(np.uint16) if high - low < 2**16 else key


def _term(node: Node) -> tuple[Node, int]:
    """The value of a term of an order, and 1 for ascending or -1 for descending."""
    if not isinstance(node, Ordering):
        return node, 1
    if node.collation or node.nulls:
        raise LeftToSQLiteError(repr(node))
    return node.node, -1 if node.direction == "DESC" else 1
