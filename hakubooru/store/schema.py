"""The tables of the published danbooru2023 metadata file (generation 4), as peewee models.

The models are not bound to a file: `Post.score > 10` is only a value, and a `Database` executes a query. A row
that comes from a `Database` refers to it. So `post.tags` and `tag.posts` work.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, Protocol

from peewee import Model

from hakubooru.errors import InputError
from hakubooru.store.expressions import FlagColumn, IntegerColumn, ReferenceColumn, TextColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RATINGS: Final = ("general", "sensitive", "questionable", "explicit")
"""The names of `post.rating`; the file stores the index of a name."""

TAG_TYPES: Final = ("general", "artist", "character", "copyright", "meta")
"""The names of `tag.type`; the file stores the index of a name (Danbooru's own numbers differ)."""

EXTENSIONS: Final = ("jpg", "png", "gif", "webp", "avif", "mp4", "webm", "zip", "swf")
"""The values of `post.file_ext` that Danbooru has."""


def enum_number(names: Sequence[str], value: str | int) -> int:
    """The index of a name in `names`; `value` may be the name, its first letter if that is unique, or the index.

    Raises:
        InputError: there is no such name or index.
    """
    if isinstance(value, str):
        numbers = [number for number, name in enumerate(names) if value in (name, name[0])]
        if len(numbers) == 1:
            return numbers[0]
    elif not isinstance(value, bool) and hasattr(value, "__index__") and 0 <= value < len(names):
        return operator.index(value)
    raise InputError(f"{value!r} is not one of {', '.join(names)}")


class EnumField(IntegerColumn):
    """An integer column whose values have names; it accepts names and numbers, and returns names."""

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names

    def db_value(self, value: str | int | None) -> int | None:
        """Convert a name or number to the number that the file stores."""
        return None if value is None else enum_number(self.names, value)

    def python_value(self, value: int | None) -> str | int | None:
        """Convert a number of the file to its name; a number without a name is returned as it is."""
        # One odd row must not make the rest of a file unreadable.
        if value is None or not 0 <= value < len(self.names):
            return value
        return self.names[value]


class Owner(Protocol):
    """The part of `Database` that its rows use."""

    def tags_of_posts(self, ids: Iterable[int]) -> dict[int, list[Tag]]:
        """The tags of posts, by post id."""
        ...


class _Row(Model):
    _owner: Owner | None = None

    def _database(self) -> Owner:
        owner: Owner | None = self._owner or getattr(self._meta.database, "owner", None)
        if owner is None:
            message = f"{self!r} is not from a database: read it through hb.open(…), or query inside `with db.bind():`"
            raise InputError(message)
        return owner


class Tag(_Row):
    """A tag: its name with underscores, its type by name, and its popularity (how many posts have it)."""

    id = IntegerColumn(primary_key=True)
    name = TextColumn(unique=True)
    type = EnumField(TAG_TYPES)
    popularity = IntegerColumn()

    class Meta:
        table_name = "tag"

    @property
    def posts(self) -> Any:
        """The `Selection` of the posts that bear this tag."""
        database: Any = self._database()  # selections stand above the tables, which cannot name their type
        return database.posts.tagged(all=[str(self.name)])

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Tag {self.id} {self.name!r} {self.type}>"


class Post(_Row):
    """A post: one image or video with its metadata.

    `image_width` and `image_height` are in pixels, `file_size` is in bytes. Dates are text as Danbooru writes it
    (`2005-05-23T23:35:31.000-04:00`). `down_score` is 0 or negative. A hidden post (banned, or for Gold accounts)
    has no `md5` and no URLs.
    """

    id = IntegerColumn(primary_key=True)
    created_at = TextColumn()
    uploader_id = IntegerColumn()
    source = TextColumn()
    md5 = TextColumn(null=True)
    parent_id = IntegerColumn(null=True)
    has_children = FlagColumn()
    is_deleted = FlagColumn()
    is_banned = FlagColumn()
    pixiv_id = IntegerColumn(null=True)
    has_active_children = FlagColumn()
    bit_flags = IntegerColumn()
    has_large = FlagColumn()
    has_visible_children = FlagColumn()
    image_width = IntegerColumn()
    image_height = IntegerColumn()
    file_size = IntegerColumn()
    file_ext = TextColumn()
    rating = EnumField(RATINGS)
    score = IntegerColumn()
    up_score = IntegerColumn()
    down_score = IntegerColumn()
    fav_count = IntegerColumn()
    file_url = TextColumn(null=True)
    large_file_url = TextColumn(null=True)
    preview_file_url = TextColumn(null=True)
    updated_at = TextColumn()

    _tags: list[Tag] | None = None

    class Meta:
        table_name = "post"

    @property
    def tags(self) -> list[Tag]:
        """All tags of the post, in the order of the file's relations; read from the file once."""
        if self._tags is None:
            post_id = int(self.id)
            self._tags = self._database().tags_of_posts([post_id]).get(post_id, [])
        return self._tags

    def tags_of(self, type: str) -> list[Tag]:
        """The post's tags of one type: general, artist, character, copyright or meta."""
        name = TAG_TYPES[enum_number(TAG_TYPES, type)]
        return [tag for tag in self.tags if tag.type == name]

    def __repr__(self) -> str:
        return f"<Post {self.id} {self.rating} {self.image_width}x{self.image_height}>"


class PostTagRelation(_Row):
    """A pair of a post and one of its tags; the order of these rows is the order of a post's tags."""

    id = IntegerColumn(primary_key=True)
    post = ReferenceColumn(Post, backref="+", lazy_load=False)
    tag = ReferenceColumn(Tag, backref="+", lazy_load=False)

    class Meta:
        table_name = "posttagrelation"


class LocalPost(_Row):
    """The local paths of files made from a post: its image and its latents."""

    id = IntegerColumn(primary_key=True)
    filepath = TextColumn(null=True)
    latentpath = TextColumn(null=True)
    post = ReferenceColumn(Post, backref="+", lazy_load=False)

    class Meta:
        table_name = "localpost"


MODELS: Final[tuple[type[_Row], ...]] = (Post, Tag, PostTagRelation, LocalPost)
