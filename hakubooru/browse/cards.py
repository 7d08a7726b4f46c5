"""The cards of posts in a grid: what a card shows of a post."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hakubooru.store.sites import SHOWN_OPENLY

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.store.schema import Post
    from hakubooru.store.store import Store

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
