"""Calculated values of posts as peewee expressions, for metatags, predicates and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peewee import fn

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

COUNTED_TYPES: Final = {
    "gentags": "general",
    "arttags": "artist",
    "chartags": "character",
    "copytags": "copyright",
    "metatags": "meta",
}
"""The metatags that count tags of one type, with that type."""


def tag_count(type: str | None = None) -> Node:
    """Make the expression for the number of a post's tags, or of its tags of one type; each tag counts once."""
    count = PostTagRelation.select(fn.COUNT(fn.DISTINCT(PostTagRelation.tag))).where(
        PostTagRelation.post == Post.id
    )
    if type is not None:
        of_type = Tag.select(Tag.id).where(Tag.type == TAG_TYPES.index(type))
        count = count.where(PostTagRelation.tag.in_(of_type))
    return fn.COALESCE(count, 0)


COUNTS: Final = {"tagcount": tag_count(), **{name: tag_count(kind) for name, kind in COUNTED_TYPES.items()}}
