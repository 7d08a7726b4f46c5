"""The sites that a database may be of: what their ratings and types of tags are called, and how captions order them.

The numbers are shared by all sites, so that a search means the same number in every file: `post.rating` is an index of
`RATINGS`, and `tag.type` an index of `TAG_TYPES`. A site says which of them it has, and under which names. So numbers are
read and compared by the two tables, and what people read has the names of the database's site.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hakubooru.errors import InputError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

RATINGS: Final = ("general", "sensitive", "questionable", "explicit")
"""The names of `post.rating`; the file stores the index of a name."""

TAG_TYPES: Final = (
    *("general", "artist", "character", "copyright", "meta"),  # as published, for Danbooru
    "unknown",  # Gelbooru-SQLite's 5
    *("species", "lore", "contributor", "invalid"),  # e621's
)
"""The names of `tag.type`; the file stores the index of a name (the numbers of the sites differ)."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A booru: its ratings, its types of tags, and what captions write for them."""

    name: str
    """The name, as a database stores it."""
    title: str
    """The name, as people write it."""
    page: str
    """The address of a post's page, up to its id."""
    domain: str
    """The domain of the addresses of its images."""
    ratings: tuple[str, ...]
    """The site's own name of each rating, in the order of `RATINGS`; "" for a rating that the site does not have."""
    tag_types: tuple[str, ...]
    """The types of tags that the site has, in the order in which statistics and pages list them."""
    categories: dict[int, str]
    """The type for each number that the site itself gives to a type."""
    categories_by_name: dict[str, str]
    """The type for each word that the site's lists of tags use, where they have words."""
    rating_labels: Mapping[str, str] = field(default_factory=dict)
    """The rating whose caption labels stand for another's, by the other's name, where the site means it so."""
    quality_scale: bool = False
    """Whether the published percentiles of favourites were measured on this site."""

    def page_of(self, post_id: int) -> str:
        """The address of a post's page."""
        return f"{self.page}{post_id}"

    @property
    def rating_names(self) -> tuple[str, ...]:
        """What each number of `post.rating` is called: as the site does, and as Danbooru where the site has no such."""
        return tuple(own or name for own, name in zip(self.ratings, RATINGS, strict=True))

    def type_of_category(self, category: object) -> int:
        """The number of a type in the file, for the number or word that a list of tags has.

        Raises:
            ValueError: the site has no such category.
        """
        text = str(category)
        name = self.categories_by_name.get(text.lower())
        if text.isascii() and text.isdecimal():
            name = self.categories.get(int(text))
        if name is None:
            known = ", ".join(f"{number} {name}" for number, name in self.categories.items())
            raise ValueError(f"category {category!r} is not one of {self.name}'s: {known}")
        return TAG_TYPES.index(name)


DANBOORU: Final = Site(
    name="danbooru",
    title="Danbooru",
    page="https://danbooru.donmai.us/posts/",
    domain="donmai.us",
    ratings=RATINGS,
    tag_types=("general", "artist", "character", "copyright", "meta"),
    categories={0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta"},
    categories_by_name={},
    quality_scale=True,
)
E621: Final = Site(
    name="e621",
    title="e621",
    page="https://e621.net/posts/",
    domain="e621.net",
    ratings=("", "safe", "questionable", "explicit"),
    rating_labels={"sensitive": "general"},
    tag_types=(
        *("general", "artist", "character", "copyright", "meta"),
        *("species", "lore", "contributor", "invalid"),
    ),
    categories={
        0: "general",
        1: "artist",
        2: "contributor",
        3: "copyright",
        4: "character",
        5: "species",
        6: "invalid",
        7: "meta",
        8: "lore",
    },
    categories_by_name={},
)
GELBOORU: Final = Site(
    name="gelbooru",
    title="Gelbooru",
    page="https://gelbooru.com/index.php?page=post&s=view&id=",
    domain="gelbooru.com",
    ratings=RATINGS,
    tag_types=("general", "artist", "character", "copyright", "meta", "unknown"),
    categories={0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta"},
    categories_by_name={
        "tag": "general",
        "general": "general",
        "artist": "artist",
        "copyright": "copyright",
        "character": "character",
        "metadata": "meta",
        "unknown": "unknown",
    },
)
SITES: Final = {site.name: site for site in (DANBOORU, E621, GELBOORU)}
"""The sites by name."""
RATING_NUMBERS: Final = {
    name: number for site in SITES.values() for number, name in enumerate(site.ratings) if name
}
"""The number of each rating, by every name that a site has for it; `safe` was Danbooru's own for sensitive before 2022."""
SHOWN_OPENLY: Final = frozenset(name for name, number in RATING_NUMBERS.items() if number <= 1)
"""The ratings whose pictures need no veil: general, sensitive and safe."""


def site_named(name: str) -> Site:
    """The site of a name.

    Raises:
        InputError: no site has the name.
    """
    if name not in SITES:
        raise InputError(f"{name!r} is not a site that hakubooru knows; {nearest(name, SITES)}")
    return SITES[name]
