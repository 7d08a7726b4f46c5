"""The orders that `order:` gives.

Greatest first, except `order:id`, which Danbooru counts upwards; `_asc` turns it. Ties stand by id: descending,
and with `_asc` ascending.
"""

from __future__ import annotations

from typing import Final

from peewee import Node, Ordering

from hakubooru.schema import Post
from hakubooru.select.predicate import Condition
from hakubooru.select.values import COUNTS, DOWNVOTES, PIXELS, RATIO

RANDOM: Final = "random"
_DESCENDING: Final = {
    "score": Post.score,
    "favcount": Post.fav_count,
    "upvotes": Post.up_score,
    "downvotes": DOWNVOTES,
    "mpixels": PIXELS,
    "landscape": RATIO,
    "portrait": RATIO * -1,
    "filesize": Post.file_size,
    "md5": Post.md5,
    "created_at": Post.created_at,
    "change": Post.updated_at,
    **COUNTS,
}
ORDERS: Final = (
    RANDOM,
    "id",
    "id_asc",
    "id_desc",
    *(name + suffix for name in _DESCENDING for suffix in ("", "_desc", "_asc")),
)
"""All orders."""


def order_terms(order: str) -> tuple[Condition, ...]:
    """The terms of an order other than random, with words for people."""
    if order in ("id", "id_asc"):
        return (_term(Post.id, "id", up=True),)
    if order == "id_desc":
        return (_term(Post.id, "id", up=False),)
    up = order.endswith("_asc")
    name = order.removesuffix("_asc").removesuffix("_desc")
    return _term(_DESCENDING[name], name, up=up), _term(Post.id, "id", up=up)


def _term(node: Node, name: str, *, up: bool) -> Condition:
    return Condition(Ordering(node, "ASC" if up else "DESC"), f"{name} {'up' if up else 'down'}wards")
