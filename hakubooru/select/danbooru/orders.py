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
    from collections.abc import Sequence

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
_WORDS: Final = (
    RANDOM,
    CUSTOM,
    NONE,
    "id",
    *(name for name, node in VALUES.items() if isinstance(node, Node)),
)
_LACKING: Final = {
    f"{name}{ending}": lacking
    for name, lacking in VALUES.items()
    if isinstance(lacking, str)
    for ending in ("", "_desc", "_asc")
}
_ORDERS: Final = (*_WORDS, *(f"{name}{ending}" for name in _WORDS[3:] for ending in ("_desc", "_asc")))


def check_order(order: str) -> None:
    """Check that posts can be put in an order.

    Raises:
        ValueMistake: there is no such order, or a metadata file lacks what it needs.
    """
    choose(order, _ORDERS, _WORDS, _LACKING)


def order_terms(order: str) -> tuple[Condition, ...]:
    """Make the terms of an order by a value of posts, each with its words for `explain`."""
    if order in ("id", "id_asc"):
        return (_term(Post.id, "id", up=True),)
    if order == "id_desc":
        return (_term(Post.id, "id", up=False),)
    up = order.endswith("_asc")
    name = order.removesuffix("_asc").removesuffix("_desc")
    value = VALUES[name]
    assert isinstance(value, Node)
    return _term(value, name, up=up), _term(Post.id, "id", up=up != (name == "downvotes"))


def custom_terms(ids: Sequence[int]) -> tuple[Condition, ...]:
    """Make the terms of `order:custom`: the place of an id in a list."""
    # The list is a text: SQLite finds an id in it faster than in a table without an index.
    listed = SQL("instr(?, ',' ||", [f",{','.join(map(str, ids))},"])
    place = NodeList([listed, Post.id, SQL("|| ',')")])
    return (Condition(Ordering(place, "ASC"), "the list of ids"),)


def _term(node: Node, name: str, *, up: bool) -> Condition:
    return Condition(Ordering(node, "ASC" if up else "DESC"), f"{name} {'up' if up else 'down'}wards")
