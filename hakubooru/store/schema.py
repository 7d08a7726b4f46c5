"""The tables of the published danbooru2023 metadata file (generation 4), as peewee models.

The published file has no NULL but where a value does not exist. In the files that hakubooru builds, NULL also stands for what
a source does not know.

The models are not bound to a file: `Post.score > 10` is only a value, and a `Database` executes a query. A row
that comes from a `Database` refers to it. So `post.tags` and `tag.posts` work.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from peewee import SQL, Model

from hakubooru.arrays import id_text
from hakubooru.errors import InputError
from hakubooru.store.expressions import FlagColumn, IntegerColumn, ReferenceColumn, TextColumn
from hakubooru.store.sites import RATING_NUMBERS
from hakubooru.store.sites import RATINGS as RATINGS  # noqa: PLC0414 - for those who read tables
from hakubooru.store.sites import TAG_TYPES as TAG_TYPES  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakubooru.arrays import Ids

EXTENSIONS: Final = ("jpg", "png", "gif", "webp", "avif", "mp4", "webm", "zip", "swf")
"""The values of `post.file_ext` that Danbooru has."""


def id_list(ids: Iterable[int] | Ids) -> SQL:
    """Write ids as the right-hand side of peewee's `in_`."""
    return SQL("(SELECT value FROM json_each(?))", [id_text(ids)])


def enum_number(names: Sequence[str], value: str | int) -> int:
    """The index of a name in `names`; `value` may be the name, its first letter if that is unique, or the index.

    Raises:
        InputError: there is no such name or index.
    """
    if isinstance(value, str):
        numbers = [number for number, name in enumerate(names) if value in (name, name[0])]
        if len(numbers) == 1:
            return numbers[0]
    elif not isinstance(value, bool | np.bool) and hasattr(value, "__index__") and 0 <= value < len(names):
        return operator.index(value)
    raise InputError(f"{value!r} is not one of {', '.join(names)}")


def rating_number(value: str | int) -> int:
    """The number of a rating, by a site's name, by its first letter, or by the number itself.

    Raises:
        InputError: there is no such rating.
    """
    return RATING_NUMBERS[value] if value in RATING_NUMBERS else enum_number(RATINGS, value)


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


class RatingField(EnumField):
    """The column of ratings; it accepts the names of every site, and returns those of Danbooru."""

    def __init__(self) -> None:
        super().__init__(RATINGS, null=True)

    def db_value(self, value: str | int | None) -> int | None:
        """Convert a name or number to the number that the file stores."""
        return None if value is None else rating_number(value)


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
    has no `md5` and no URLs. Any value but the id is None if the source of the post does not know it.
    """

    id = IntegerColumn(primary_key=True)
    """The number of the post on its site."""
    created_at = TextColumn(null=True)
    """The time of upload, in Danbooru's time zone."""
    uploader_id = IntegerColumn(null=True)
    """The number of the user who uploaded the post."""
    source = TextColumn(null=True)
    """Where the image comes from: a URL or a text; "" if unknown to Danbooru."""
    md5 = TextColumn(null=True)
    """The MD5 of the original file, in hexadecimal; none for a hidden post."""
    parent_id = IntegerColumn(null=True)
    """The post that this one is a version of."""
    has_children = FlagColumn(null=True)
    """Whether other posts are versions of this one."""
    is_deleted = FlagColumn(null=True)
    """Whether moderators took the post off the site."""
    is_banned = FlagColumn(null=True)
    """Whether the post is hidden at the request of its artist."""
    pixiv_id = IntegerColumn(null=True)
    """The number of the work on pixiv."""
    has_active_children = FlagColumn(null=True)
    """Whether a child of the post is not deleted."""
    bit_flags = IntegerColumn(null=True)
    """Flags of Danbooru, one a bit; the lowest one says that notes are shown in the image."""
    has_large = FlagColumn(null=True)
    """Whether Danbooru has a smaller version of the image for its pages."""
    has_visible_children = FlagColumn(null=True)
    """Whether a child of the post can be seen by everybody."""
    image_width = IntegerColumn(null=True)
    """The width of the original image, in pixels."""
    image_height = IntegerColumn(null=True)
    """The height of the original image, in pixels."""
    file_size = IntegerColumn(null=True)
    """The size of the original file, in bytes."""
    file_ext = TextColumn(null=True)
    """The kind of the original file: jpg, png, webp, gif, avif, mp4, webm, swf or zip."""
    rating = RatingField()
    """How explicit the post is, by the site's name: on Danbooru general, sensitive, questionable or explicit."""
    score = IntegerColumn(null=True)
    """Up-votes less down-votes."""
    up_score = IntegerColumn(null=True)
    """Up-votes."""
    down_score = IntegerColumn(null=True)
    """Down-votes, 0 or negative."""
    fav_count = IntegerColumn(null=True)
    """How many users have the post among their favourites."""
    file_url = TextColumn(null=True)
    """The address of the original file; none for a hidden post."""
    large_file_url = TextColumn(null=True)
    """The address of the smaller version."""
    preview_file_url = TextColumn(null=True)
    """The address of the thumbnail."""
    updated_at = TextColumn(null=True)
    """The time of the last change."""

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
        """The post's tags of one type, such as general, artist, character, copyright, meta or species."""
        name = TAG_TYPES[enum_number(TAG_TYPES, type)]
        return [tag for tag in self.tags if tag.type == name]

    def image(self, images: Any = ()) -> Any:
        """The post's image, as a Pillow image.

        Args:
            images: folders, tars or URLs that hold images; by default, those of the database's `images`.

        Raises:
            InputError: no images are named, or none of them is the post's.
        """
        database: Any = self._database()  # images stand above the tables
        return database.image(int(self.id), images)

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
