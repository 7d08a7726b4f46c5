"""How many children a post has: what `children:2` asks and `order:children` compares.

No index leads from a post to its children: all are counted by their parents in one scan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import SQL, NodeList, fn

from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from peewee import Node

    from hakubooru.select.search.ranges import Span

_KINDS: Final[dict[str, bool | None]] = {"": None, "deleted_": True, "active_": False}
"""Whether the children that count are deleted; None where all count."""
CHILD_COUNTS: Final = {
    f"{kind}{name}": is_deleted for kind, is_deleted in _KINDS.items() for name in ("child_count", "children")
}
"""Whether the children that a metatag counts are deleted, by its name."""


def in_span(span: Span, is_deleted: bool | None) -> Any:
    """That the number of a post's children lies in a span."""
    count = fn.COUNT(Post.id)
    bounds = ([] if span.start is None else [count >= span.start]) + (
        [] if span.end is None else [count < span.end]
    )
    parents = (
        Post.select(Post.parent_id).where(Post.parent_id.is_null(is_null=False)).group_by(Post.parent_id)
    )
    if is_deleted is not None:
        parents = parents.where(Post.is_deleted == is_deleted)
    inside = NodeList(bounds, glue=" AND ", parens=True)
    if _holds(span, 0):  # those that are no one's parent, too
        return Post.id.not_in(parents.having(SQL("NOT") + inside))
    return Post.id.in_(parents.having(inside))


def number(is_deleted: bool | None) -> Node:
    """The number of a post's children."""
    counted = {None: "", True: " AND is_deleted <> 0", False: " AND is_deleted = 0"}[is_deleted]
    counts = (
        "ifnull((WITH family(parent, children) AS MATERIALIZED "
        f"(SELECT parent_id, COUNT(*) FROM post WHERE parent_id IS NOT NULL{counted} GROUP BY parent_id) "
        "SELECT children FROM family WHERE parent ="
    )
    return NodeList([SQL(counts), Post.id, SQL("), 0)")])


def _holds(span: Span, value: int) -> bool:
    return (span.start is None or int(span.start) <= value) and (span.end is None or value < int(span.end))
