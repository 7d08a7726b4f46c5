"""What pages show of posts: a card of each in a grid, and everything of one on its own page."""

from __future__ import annotations

from contextlib import suppress
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
from hakubooru.store.sites import SHOWN_OPENLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.caption import CaptionFormat, Parts
    from hakubooru.engine.cache import CachedStore
    from hakubooru.store.schema import Post, Tag
    from hakubooru.store.store import Store

_ORDER: Final = ("artist", "copyright", "character", "general", "meta")
"""The types of tags in the order in which Danbooru shows them; those of other sites follow."""
_NAMED: Final = ("character", "copyright", "artist")
_NAMES: Final = 3
_NARROWEST, _WIDEST = 0.4, 2.4
_STEP: Final = 0.05
"""Twenty classes a unit: `r8` to `r48` of the style sheet are the ratios 0.40 to 2.40."""


@dataclass(frozen=True)
class Card:
    """A post in a grid."""

    post: Post
    ratio: int
    """Width to height in steps of 0.05, for the style sheet."""
    names: dict[str, list[str]]
    """The first tags of characters, works and artists, by type."""
    tags: int
    """How many tags the post has."""

    @property
    def alternative(self) -> str:
        """The text for those who do not see the picture."""
        names = ", ".join(name.replace("_", " ") for some in self.names.values() for name in some)
        return f"post {self.post.id}" + (f": {names}" if names else "")

    @property
    def is_delicate(self) -> bool:
        """Whether the picture is blurred until it is asked for."""
        return self.post.rating not in SHOWN_OPENLY


def cards(database: Store, ids: Ids) -> list[Card]:
    """Read the cards of posts with three queries, in the order of `ids`, (N,) int64."""
    return [_card(post) for post in database.posts_with_tags(ids)]


def _card(post: Post) -> Card:
    names = {kind: [str(tag) for tag in post.tags_of(kind)[:_NAMES]] for kind in _NAMED}
    return Card(post, _ratio(post), names, len(post.tags))


def _ratio(post: Post) -> int:
    width, height = post.image_width, post.image_height
    ratio = width / height if width and height else 1.0
    return round(min(max(ratio, _NARROWEST), _WIDEST) / _STEP)


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
        with suppress(ValueError):  # such as a [ without its ]
            return source if urlsplit(source).scheme in ("http", "https") else None
        return None


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
