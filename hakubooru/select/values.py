"""Calculated values of posts as peewee expressions, for questions, metatags and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import SQL, NodeList, fn

from hakubooru.store.schema import TAG_TYPES, Post, PostTagRelation, Tag

if TYPE_CHECKING:
    from peewee import Node

DOWNVOTES: Final = fn.ABS(Post.down_score)
PIXELS: Final = Post.image_width * Post.image_height
HAS_RATIO: Final = (Post.image_width > 0) & (Post.image_height > 0)
"""The condition that a post has an aspect ratio: its width and height are not 0."""
RATIO: Final = 1.0 * Post.image_width / fn.MAX(1, Post.image_height)
"""The aspect ratio, width divided by height."""
SECONDS: Final = fn.strftime("%s", Post.created_at).cast("INTEGER")
"""The date of a post in seconds since 1970; the dates of the file have a time zone."""


def tag_count(type: str | None = None) -> Node:
    """Make the expression for the number of a post's tags, or of its tags of one type; each tag counts once."""
    count = PostTagRelation.select(fn.COUNT(fn.DISTINCT(PostTagRelation.tag))).where(
        PostTagRelation.post == Post.id
    )
    if type is not None:
        of_type = Tag.select(Tag.id).where(Tag.type == TAG_TYPES.index(type))
        count = count.where(PostTagRelation.tag.in_(of_type))
    return fn.COALESCE(count, 0)


TAG_COUNTS: Final = {
    "tagcount": tag_count(),
    "gentags": tag_count("general"),
    "arttags": tag_count("artist"),
    "chartags": tag_count("character"),
    "copytags": tag_count("copyright"),
    "metatags": tag_count("meta"),
}
"""The numbers of a post's tags, by their name in a search."""

CHILDREN: Final[dict[str, bool | None]] = {
    f"{prefix}{name}": is_deleted
    for prefix, is_deleted in (("", None), ("deleted_", True), ("active_", False))
    for name in ("child_count", "children")
}
"""Which children a name in a search counts: True the deleted ones, False the others, None all."""


def child_count(is_deleted: bool | None) -> Node:
    """Make the expression for the number of a post's children, by one scan: the file has no index from parents."""
    filter_sql = {None: "", True: " AND is_deleted <> 0", False: " AND is_deleted = 0"}[is_deleted]
    counts = (
        "ifnull((WITH family(parent, children) AS MATERIALIZED "
        f"(SELECT parent_id, COUNT(*) FROM post WHERE parent_id IS NOT NULL{filter_sql} GROUP BY parent_id) "
        "SELECT children FROM family WHERE parent ="
    )
    return NodeList([SQL(counts), Post.id, SQL("), 0)")])


def has_children(low: int | None, high: int | None, is_deleted: bool | None) -> Any:
    """Make the condition that a post has from `low` up to, not including, `high` children; None leaves an end open."""
    count = fn.COUNT(Post.id)
    bounds = ([] if low is None else [count >= low]) + ([] if high is None else [count < high])
    parents = (
        Post.select(Post.parent_id).where(Post.parent_id.is_null(is_null=False)).group_by(Post.parent_id)
    )
    if is_deleted is not None:
        parents = parents.where(Post.is_deleted == is_deleted)
    inside = NodeList(bounds, glue=" AND ", parens=True)
    if (low is None or low <= 0) and (high is None or high > 0):  # posts without children match too
        return Post.id.not_in(parents.having(SQL("NOT") + inside))
    return Post.id.in_(parents.having(inside))
