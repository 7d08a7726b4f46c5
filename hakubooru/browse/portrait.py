"""Everything that the page of one post shows: its tags, its captions with their parts, its bucket and its family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import numpy as np

from hakubooru.caption import PRESETS, Captioner, caption_format
from hakubooru.caption.format import KEEP
from hakubooru.engine.groups import families_of
from hakubooru.errors import CaptionFormatError
from hakubooru.image.bucket import Buckets
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.caption import CaptionFormat, Parts
    from hakubooru.engine.cache import CachedStore
    from hakubooru.store.schema import Post, Tag
    from hakubooru.store.store import Store

_ORDER: Final = ("artist", "copyright", "character", "general", "meta")
"""The types of tags in the order in which Danbooru shows them; those of other sites follow."""


@dataclass(frozen=True)
class Piece:
    """A piece of a caption: the words of one part, or what separates parts."""

    part: str
    """The part, such as `character`; "" for separators."""
    text: str


@dataclass(frozen=True)
class Portrait:
    """A post for its page."""

    post: Post
    tags: dict[str, list[Tag]]
    """The tags by type, in Danbooru's order."""
    captions: dict[str, list[Piece]]
    """The caption in each format, by the name of the preset, cut into pieces."""
    lacking: dict[str, str]
    """Why the other presets cannot caption it, such as a joined file that is missing, by name."""
    bucket: str
    """The bucket of a training run at 1024 x 1024, such as `832 x 1216`; "" without a size."""
    ratio: int
    """Width to height in hundredths; 0 without a size."""

    @property
    def source(self) -> str | None:
        """The address of the source if it is one of the web; else None."""
        source = str(self.post.source)
        return source if urlsplit(source).scheme in ("http", "https") else None


def portrait(database: Store, number: int) -> Portrait | None:
    """Read a post for its page; None if the database does not have it."""
    posts = database.posts_with_tags(np.array([number], np.int64))
    if not posts:
        return None
    (post,) = posts
    tags: dict[str, list[Tag]] = {kind: [] for kind in (*_ORDER, *database.about.site.tag_types)}
    for tag in sorted(post.tags, key=lambda tag: str(tag.name)):
        tags.setdefault(str(tag.type), []).append(tag)
    captions: dict[str, list[Piece]] = {}
    lacking: dict[str, str] = {}
    for name in PRESETS:
        try:
            captions[name] = pieces(database, number, caption_format(name))
        except CaptionFormatError as error:
            lacking[name] = str(error)
    width, height = post.image_width or 0, post.image_height or 0
    if width <= 0 or height <= 0:
        return Portrait(post, tags, captions, lacking, "", 0)
    buckets = Buckets()
    wide, high = buckets.sizes()[buckets.of([width], [height])[0]].tolist()
    return Portrait(post, tags, captions, lacking, f"{wide}x{high}", round(100 * width / height))


def pieces(database: Store, number: int, format: CaptionFormat) -> list[Piece]:
    """Cut the caption of a post into the words of its parts; together, the texts are the caption."""
    captioner = Captioner(database, format)
    ids = np.array([number], np.int64)
    ((_, caption),) = captioner.captions(ids)
    if format.layout != "text":
        return [Piece("", caption)]
    ((_, parts),) = captioner.parts(ids)
    return list(_cut(caption, parts, format))


def _cut(caption: str, parts: Parts, format: CaptionFormat) -> Iterator[Piece]:
    """Find the words of each part in a caption, from left to right; what is between them separates them."""
    at = 0
    for name in format.order:
        for word in parts.get(name, []) if name != KEEP else []:
            start = caption.find(word, at) if word else -1
            if start < 0:
                continue
            if start > at:
                yield Piece("", caption[at:start])
            yield Piece(_type_of(name), word)
            at = start + len(word)
    if at < len(caption):
        yield Piece("", caption[at:])


def _type_of(part: str) -> str:
    return part if part in (*TAG_TYPES, "people", "quality", "rating", "date") else "general"


def relatives(database: CachedStore, number: int) -> Ids:
    """The other posts of a post's family: those that parents and children connect, (N,) int64, ascending."""
    columns = database.cache.columns
    families = families_of(columns.ids, columns["parent_id"])
    place = int(np.searchsorted(columns.ids, number))
    if place == len(columns.ids) or columns.ids[place] != number:
        return np.empty(0, np.int64)
    family = columns.ids[families == families[place]]
    others: Ids = family[family != number]
    return others
