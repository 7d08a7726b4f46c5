"""The number of children of a post, for `children:2` and `order:children`.

The file has no index from a post to its children, so one scan counts the children of all posts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import SQL, NodeList, fn

from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from peewee import Node

    from hakubooru.select.search.ranges import Span

_KINDS: Final[dict[str, bool | None]] = {"": None, "deleted_": True, "active_": False}
"""The prefixes of the metatags: True counts deleted children, False the others, None all."""
CHILD_COUNTS: Final = {
    f"{kind}{name}": is_deleted for kind, is_deleted in _KINDS.items() for name in ("child_count", "children")
}
"""The metatags by name: True counts deleted children, False the others, None all."""


def in_span(span: Span, is_deleted: bool | None) -> Any:
    """Make the condition that the number of a post's children lies in a span."""
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
    if _holds(span, 0):  # posts without children match too
        return Post.id.not_in(parents.having(SQL("NOT") + inside))
    return Post.id.in_(parents.having(inside))


def number(is_deleted: bool | None) -> Node:
    """Make the SQL for the number of a post's children."""
    filter_sql = {None: "", True: " AND is_deleted <> 0", False: " AND is_deleted = 0"}[is_deleted]
    counts = (
        "ifnull((WITH family(parent, children) AS MATERIALIZED "
        f"(SELECT parent_id, COUNT(*) FROM post WHERE parent_id IS NOT NULL{filter_sql} GROUP BY parent_id) "
        "SELECT children FROM family WHERE parent ="
    )
    return NodeList([SQL(counts), Post.id, SQL("), 0)")])


def _holds(span: Span, value: int) -> bool:
    return (span.start is None or int(span.start) <= value) and (span.end is None or value < int(span.end))
