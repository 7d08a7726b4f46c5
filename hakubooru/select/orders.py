"""Read the terms of `order_by`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import Node, Ordering

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.select.arguments import listed
from hakubooru.select.predicate import check_columns, condition
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from hakubooru.select.predicate import Condition


def order_terms(terms: tuple[Any, ...]) -> tuple[Condition, ...]:
    """Make the terms of an order; a last term by id is added, descending if the last of `terms` is.

    Args:
        terms: names of columns, `-name` for descending, or expressions such as `Post.score.desc()`; or one list of them.

    Raises:
        InputError: no term is given, or a term is not a column of posts.
    """
    terms = listed(terms)
    if not terms:
        raise InputError("order_by() needs a column: write order_by('-score', 'id')")
    orders = [_order(term) for term in terms]
    tie = Post.id.desc() if _is_descending(orders[-1]) else Post.id.asc()
    return tuple(condition(order) for order in (*orders, tie))


def _order(term: object) -> Node:
    if isinstance(term, Node):
        check_columns(term, "order_by()")
        return term
    if not isinstance(term, str):
        raise InputError(f"order_by() takes columns, not {term!r}: write order_by('-score', 'id')")
    name = term.removeprefix("-")
    fields = Post._meta.fields  # noqa: SLF001 - peewee's documented name
    if name not in fields:
        raise InputError(f"posts have no column {name!r}; {nearest(name, fields)}")
    order: Node = fields[name].desc() if term.startswith("-") else fields[name].asc()
    return order


def _is_descending(order: Node) -> bool:
    return isinstance(order, Ordering) and order.direction == "DESC"
