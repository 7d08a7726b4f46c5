"""The orders of `order:` in a search.

The greatest value comes first; with the ending `_asc`, the smallest. As on Danbooru, `order:id` alone is ascending. Equal
posts are sorted by id: descending, and ascending with `_asc`. For `order:downvotes` it is the opposite, as on Danbooru.
`order:custom` is the order of the list in `id:`, and `order:none` keeps the order of the selection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peewee import SQL, Node, NodeList, Ordering

from hakubooru.select.predicate import Condition
from hakubooru.select.search.children import CHILD_COUNTS, number
from hakubooru.select.search.ranges import INTEGERS, ValueMistake, read_values
from hakubooru.select.search.syntax import All, Metatag, Term, leaves
from hakubooru.select.values import COUNTS, DOWNVOTES, PIXELS, RATIO
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from collections.abc import Sequence

RANDOM: Final = "random"
CUSTOM: Final = "custom"
NONE: Final = "none"
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
    **{name: number(is_deleted) for name, is_deleted in CHILD_COUNTS.items()},
}
ORDERS: Final = (
    RANDOM,
    CUSTOM,
    NONE,
    "id",
    "id_asc",
    "id_desc",
    *(name + suffix for name in _DESCENDING for suffix in ("", "_desc", "_asc")),
)
"""The names of all orders."""


def order_terms(order: str) -> tuple[Condition, ...]:
    """Make the terms of an order by a value of posts, each with its words for `explain`."""
    if order in ("id", "id_asc"):
        return (_term(Post.id, "id", up=True),)
    if order == "id_desc":
        return (_term(Post.id, "id", up=False),)
    up = order.endswith("_asc")
    name = order.removesuffix("_asc").removesuffix("_desc")
    return _term(_DESCENDING[name], name, up=up), _term(Post.id, "id", up=up != (name == "downvotes"))


def custom_terms(ids: Sequence[int]) -> tuple[Condition, ...]:
    """Make the terms of `order:custom`: the place of an id in a list."""
    # The list is a text: SQLite finds an id in it faster than in a table without an index.
    listed = SQL("instr(?, ',' ||", [f",{','.join(map(str, ids))},"])
    place = NodeList([listed, Post.id, SQL("|| ',')")])
    return (Condition(Ordering(place, "ASC"), "the list of ids"),)


def custom_ids(condition: Term) -> tuple[int, ...]:
    """The ids of the list in a search with `order:custom`, in their order.

    Raises:
        ValueMistake: the search does not have exactly one list of ids at its top.
    """
    parts = condition.parts if isinstance(condition, All) else (condition,)
    lists = {leaf for leaf in leaves(condition) if isinstance(leaf, Metatag) and leaf.name == "id"}
    spans = read_values(lists.pop().value, INTEGERS) if len(lists) == 1 and lists <= set(parts) else ()
    ids = [span.only for span in spans if span.only is not None]
    if not ids or len(ids) < len(spans):
        raise ValueMistake("custom needs one id: with the list of ids: write id:3,1,2 order:custom")
    return tuple(ids)


def _term(node: Node, name: str, *, up: bool) -> Condition:
    return Condition(Ordering(node, "ASC" if up else "DESC"), f"{name} {'up' if up else 'down'}wards")
