"""The orders of `order:` in a search. `VALUES` has a row for each value: how it is computed, or why it cannot be.

The greatest value comes first; with the ending `_asc`, the smallest. As on Danbooru, `order:id` alone is ascending. Equal
posts are sorted by id: descending, and ascending with `_asc`. For `order:downvotes` it is the opposite, as on Danbooru.
`order:custom` is the order of the list in `id:`, and `order:none` keeps the order of the selection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peewee import SQL, Node, NodeList, Ordering

from hakubooru.select.danbooru.mistakes import LACKING_COUNTS, QUEUE, choose
from hakubooru.select.predicates import Condition
from hakubooru.select.values import CHILDREN, DOWNVOTES, PIXELS, RATIO, TAG_COUNTS, child_count
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RANDOM: Final = "random"
CUSTOM: Final = "custom"
NONE: Final = "none"
VALUES: Final[dict[str, Node | str]] = {
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
    **TAG_COUNTS,
    **{name: child_count(is_deleted) for name, is_deleted in CHILDREN.items()},
    **dict.fromkeys(("comment", "comm", "comment_bumped"), "comments"),
    "note": "notes",
    "artcomm": "artist commentaries",
    "duration": "lengths of videos",
    **dict.fromkeys(("disapproved", "modqueue"), QUEUE),
    "curated": "favourites of users",
    "rank": "ranking of the day",
    **LACKING_COUNTS,
}
"""The values by which posts are ordered; a text is what a metadata file lacks for it."""


def check_order(order: str, values: Mapping[str, Node | str]) -> None:
    """Check that posts can be put in an order.

    Raises:
        ValueMistake: there is no such order, or a metadata file lacks what it needs.
    """
    answered = ["id", *(name for name, value in values.items() if isinstance(value, Node))]
    lacking = {
        f"{name}{ending}": value
        for name, value in values.items()
        if isinstance(value, str)
        for ending in ("", "_desc", "_asc")
    }
    words = [RANDOM, CUSTOM, NONE, *answered]
    orders = [*words, *(f"{name}{ending}" for name in answered for ending in ("_desc", "_asc"))]
    choose(order, orders, words, lacking)


def order_terms(order: str, joined: Mapping[str, Node]) -> tuple[Condition, ...]:
    """Make the terms of an order by a value of posts, each with its words for `explain`.

    Args:
        order: the name of the order.
        joined: columns of joined files, by their names in searches. Posts without a value come last.
    """
    if order in ("id", "id_asc"):
        return (_term(Post.id, "id", up=True),)
    if order == "id_desc":
        return (_term(Post.id, "id", up=False),)
    is_whole = order in joined  # a column may itself be called x_asc
    up = order.endswith("_asc") and not is_whole
    name = order if is_whole else order.removesuffix("_asc").removesuffix("_desc")
    if name in joined:
        return _term(joined[name], name, up=up, nulls="last"), _term(Post.id, "id", up=up)
    value = VALUES[name]
    assert isinstance(value, Node)
    return _term(value, name, up=up), _term(Post.id, "id", up=up != (name == "downvotes"))


def custom_terms(ids: Sequence[int]) -> tuple[Condition, ...]:
    """Make the terms of `order:custom`: the place of an id in a list."""
    # The list is a text: SQLite finds an id in it faster than in a table without an index.
    listed = SQL("instr(?, ',' ||", [f",{','.join(map(str, ids))},"])
    place = NodeList([listed, Post.id, SQL("|| ',')")])
    return (Condition(Ordering(place, "ASC"), "the list of ids"),)


def _term(node: Node, name: str, *, up: bool, nulls: str | None = None) -> Condition:
    order = Ordering(node, "ASC" if up else "DESC", nulls=nulls)
    return Condition(order, f"{name} {'up' if up else 'down'}wards")
