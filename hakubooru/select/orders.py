"""The orders that `order_by` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import Node, Ordering

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.schema import Post
from hakubooru.select.predicate import condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.select.predicate import Condition


def order_terms(terms: Sequence[str | Node]) -> tuple[Condition, ...]:
    """The terms of an order, the last of them by id: descending where the last that is given is.

    Args:
        terms: a column's name, `-name` for descending, or `Post.score.desc()`.

    Raises:
        InputError: there is no term, or no such column.
    """
    if not terms:
        raise InputError('order_by() needs a column; such as "id" or "-fav_count"')
    orders = [_order(term) for term in terms]
    tie = Post.id.desc() if _is_descending(orders[-1]) else Post.id.asc()
    return tuple(condition(order) for order in (*orders, tie))


def _order(term: str | Node) -> Node:
    if isinstance(term, Node):
        return term
    name = term.removeprefix("-")
    fields = Post._meta.fields  # noqa: SLF001 - peewee's documented name
    if name not in fields:
        raise InputError(f"a post has no column {name!r}; {nearest(name, fields)}")
    order: Node = fields[name].desc() if term.startswith("-") else fields[name].asc()
    return order


def _is_descending(order: Node) -> bool:
    return isinstance(order, Ordering) and order.direction == "DESC"
