"""The tables of the published danbooru2023 metadata file (generation 4), as peewee models.

The models are bound to no file: `Post.score > 10` is only a value, and the `Database` that a query is
given to executes it. A row that came out of a `Database` carries it, so that a post finds its tags and
a tag its posts.
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
"""Names of `post.rating`; a name's place is its number in the file."""

TAG_TYPES: Final = ("general", "artist", "character", "copyright", "meta")
"""Names of `tag.type`; a name's place is its number in the file (Danbooru's own numbers differ)."""


def enum_number(names: Sequence[str], value: str | int) -> int:
    """The number of a name, of a name's first letter where only one begins so, or of a number itself.

    Raises:
        InputError: there is no such name or number.
    """
    if isinstance(value, str):
        found = [i for i, name in enumerate(names) if value in (name, name[0])]
        if len(found) == 1:
            return found[0]
    elif not isinstance(value, bool) and hasattr(value, "__index__") and 0 <= value < len(names):
        return operator.index(value)
    raise InputError(f"{value!r} is none of {', '.join(names)}")


class EnumField(IntegerColumn):
    """An integer column whose values have names; accepts both, gives names."""

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names

    def db_value(self, value: str | int | None) -> int | None:
        """The number that the file holds."""
        return None if value is None else enum_number(self.names, value)

    def python_value(self, value: int | None) -> str | int | None:
        """The name that Python sees."""
        # A number that has no name is shown as it stands: one odd row must not hide the rest of a file.
        if value is None or not 0 <= value < len(self.names):
            return value
        return self.names[value]


class Owner(Protocol):
    """What a row asks of the `Database` that it came from."""

    def tags_of_posts(self, ids: Iterable[int]) -> dict[int, list[Tag]]:
        """Tags by post id."""
        ...


class _Row(Model):
    _owner: Owner | None = None

    def _database(self) -> Owner:
        owner: Owner | None = self._owner or getattr(self._meta.database, "owner", None)
        if owner is None:
            message = f"{self!r} did not come out of a database: get it from hb.open(…), or query inside `with db.bind():`"
            raise InputError(message)
        return owner


class Tag(_Row):
    """A tag: its name with underscores, its type by name, and how many posts bear it."""

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
    """A post: one image (or video) and what Danbooru knows of it, tags aside.

    Sizes are pixels and bytes; dates are text as Danbooru writes them (`2005-05-23T23:35:31.000-04:00`);
    `down_score` is negative. A hidden post (banned, or for Gold accounts) has no `md5` and no URLs.
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
        """All tags, in the order of the file's relations; asked for once."""
        if self._tags is None:
            post_id = int(self.id)
            self._tags = self._database().tags_of_posts([post_id]).get(post_id, [])
        return self._tags

    def tags_of(self, type: str) -> list[Tag]:
        """The tags of one type: general, artist, character, copyright or meta."""
        wanted = TAG_TYPES[enum_number(TAG_TYPES, type)]
        return [tag for tag in self.tags if tag.type == wanted]

    def __repr__(self) -> str:
        return f"<Post {self.id} {self.rating} {self.image_width}x{self.image_height}>"


class PostTagRelation(_Row):
    """That a post bears a tag; the rows' order is the order of a post's tags."""

    id = IntegerColumn(primary_key=True)
    post = ReferenceColumn(Post, backref="+", lazy_load=False)
    tag = ReferenceColumn(Tag, backref="+", lazy_load=False)

    class Meta:
        table_name = "posttagrelation"


class LocalPost(_Row):
    """Where files that were made of a post lie on this machine."""

    id = IntegerColumn(primary_key=True)
    filepath = TextColumn(null=True)
    latentpath = TextColumn(null=True)
    post = ReferenceColumn(Post, backref="+", lazy_load=False)

    class Meta:
        table_name = "localpost"


MODELS: Final[tuple[type[_Row], ...]] = (Post, Tag, PostTagRelation, LocalPost)
