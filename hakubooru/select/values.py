"""The values of a post that metatags ask for and orders compare, as peewee nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from peewee import fn

from hakubooru.store.schema import TAG_TYPES, Post, PostTagRelation, Tag

if TYPE_CHECKING:
    from peewee import Node

DOWNVOTES: Final = fn.ABS(Post.down_score)
PIXELS: Final = Post.image_width * Post.image_height
HAS_RATIO: Final = (Post.image_width > 0) & (Post.image_height > 0)
"""That width and height are known; a post of which they are 0 has no ratio."""
RATIO: Final = 1.0 * Post.image_width / fn.MAX(1, Post.image_height)
"""Width to height."""
SECONDS: Final = fn.strftime("%s", Post.created_at).cast("INTEGER")
"""When the post was made, since 1970; the dates of the file name their time zone."""

COUNTED_TYPES: Final = {
    "gentags": "general",
    "arttags": "artist",
    "chartags": "character",
    "copytags": "copyright",
    "metatags": "meta",
}
"""The metatags that count the tags of one type."""


def tag_count(type: str | None = None) -> Node:
    """How many tags a post has, of one type where one is named; a tag that stands there twice counts once."""
    count = PostTagRelation.select(fn.COUNT(fn.DISTINCT(PostTagRelation.tag))).where(
        PostTagRelation.post == Post.id
    )
    if type is not None:
        of_type = Tag.select(Tag.id).where(Tag.type == TAG_TYPES.index(type))
        count = count.where(PostTagRelation.tag.in_(of_type))
    return fn.COALESCE(count, 0)


COUNTS: Final = {"tagcount": tag_count(), **{name: tag_count(kind) for name, kind in COUNTED_TYPES.items()}}
