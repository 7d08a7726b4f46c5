"""The metatags of a search. `METATAGS` has a row for each: a column, a reader, or why no metadata file can answer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from peewee import fn

from hakubooru.select.danbooru.mistakes import LACKING_COUNTS, QUEUE, ValueMistake, choose
from hakubooru.select.danbooru.orders import VALUES, check_order
from hakubooru.select.danbooru.ranges import (
    DATES,
    INTEGERS,
    MD5S,
    MEGAPIXELS,
    NUMBERS,
    RATIOS,
    SIZES,
    Presence,
    Span,
    Unit,
    ages,
    read_values,
    split_list,
)
from hakubooru.select.predicates import Condition, Or
from hakubooru.select.questions import PREDICATES
from hakubooru.select.values import (
    CHILDREN,
    DOWNVOTES,
    HAS_RATIO,
    PIXELS,
    SECONDS,
    TAG_COUNTS,
    has_children,
)
from hakubooru.store.schema import EXTENSIONS, RATINGS, Post, id_list
from hakubooru.store.sites import RATING_NUMBERS
from hakubooru.store.tags import like_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peewee import Node

    from hakubooru.select.danbooru.mistakes import Place
    from hakubooru.store.joined import JoinedColumn

Row: TypeAlias = tuple[Any, "Unit | Callable[[datetime], Unit]"] | Callable[["Metatag"], Any] | str
"""How a metatag is answered: a column and the unit of its values, a reader, or what a metadata file lacks for it."""

CLOSING: Final = ("order", "limit", "random")
"""The metatags that belong to the whole search."""
NAMING: Final = "unaliased"
"""The metatag that means a tag of exactly its value."""
MAY_BE_EMPTY: Final = ("source",)
"""The metatags that may have no value."""
_MOST_VARIABLES: Final = 500  # SQLite takes 999 at the least
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_COMPARISON: Final = re.compile(r"[<>]=?[-+]?\.?[0-9]|[-+]?[0-9][0-9.]*\.\.|\.\.[-+]?[0-9]")
"""How the value of a metatag begins that compares numbers."""


@dataclass(frozen=True)
class Metatag:
    """A metatag with its value, such as `rating:g,s`."""

    name: str
    value: str
    quoted: bool = False
    place: Place = field(default=(0, 0), compare=False, repr=False)
    row: Row | None = field(default=None, compare=False, repr=False)
    """The metatag's row, if it is of a joined file and not in `METATAGS`."""

    def __str__(self) -> str:
        if not self.quoted:
            return f"{self.name}:{self.value}"
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}:"{escaped}"'

    @cached_property
    def condition(self) -> Condition:
        """The predicate that the metatag stands for; `age:` counts back from the present.

        Raises:
            ValueMistake: the value cannot be read, or a metadata file cannot answer the metatag.
        """
        return self._condition(datetime.now(UTC))

    def condition_at(self, now: datetime) -> Condition:
        """The predicate that the metatag stands for at a moment, from which `age:` counts back."""
        return self._condition(now) if self.name == "age" else self.condition

    def _condition(self, now: datetime) -> Condition:
        match self.row or METATAGS[self.name]:
            case str(lacking):
                raise ValueMistake(f"cannot be answered: a metadata file has no {lacking}")
            case (column, unit):
                node = _in_range(column, unit if isinstance(unit, Unit) else unit(now), self.value)
            case reader:
                node = reader(self)
        words = f"{self} ({self.caveat})" if self.caveat else str(self)
        return replace(node, words=words) if isinstance(node, Condition) else Condition(node, words)

    @property
    def caveat(self) -> str | None:
        """How the answer differs from Danbooru's; None if it does not."""
        is_state = self.name in ("is", "status", "parent", "child")
        if is_state and self.value.lower() == "active":
            return "pending and flagged posts are not known, and count as active"
        return None


def _in_range(column: Any, unit: Unit, text: str) -> Any:
    values = read_values(text, unit)
    numbers = [value.only for value in values if value.only is not None]
    others = [_holds(column, value) for value in values if value.only is None]
    return _one_of([_is_among(column, numbers), *others] if numbers else others)


def _is_among(column: Any, values: Sequence[int]) -> Any:
    if len(values) == 1:
        return column == values[0]
    return column.in_(values if len(values) <= _MOST_VARIABLES else id_list(values))


def _one_of(nodes: Sequence[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else Or(tuple(Condition(node, "") for node in nodes))


def _holds(column: Any, value: Span | Presence) -> Any:
    match value:
        case Presence(is_there):
            return column.is_null(not is_there)
        case Span(None, end):
            return column < end
        case Span(start, None):
            return column >= start
        case Span(start, end):
            return (column >= start) & (column < end)


def _ratio(metatag: Metatag) -> Any:
    return _one_of([_in_hundredths(value) for value in read_values(metatag.value, RATIOS)])


def _in_hundredths(value: Span | Presence) -> Any:
    if isinstance(value, Presence):
        return HAS_RATIO if value.is_there else ~HAS_RATIO
    # In whole numbers: a ratio rounds to n hundredths or more if it is (2n - 1) / 200 or more.
    low, high = (
        Post.image_height * (2 * int(bound) - 1) if bound is not None else None
        for bound in (value.start, value.end)
    )
    width = Post.image_width * 200
    ends = ([] if low is None else [width >= low]) + ([] if high is None else [width < high])
    return reduce(and_, ends, HAS_RATIO)


def _id(metatag: Metatag) -> Any:
    match read_values(metatag.value, INTEGERS):
        case [Span(int(start), int() | None as end)]:
            return PREDICATES.ids(start, end)
        case _:
            return _in_range(Post.id, INTEGERS, metatag.value)


def _children(metatag: Metatag) -> Any:
    nodes = []
    for value in read_values(metatag.value, INTEGERS):
        match value:
            case Presence():
                nodes.append(_holds(Post.id, value))
            case Span(int() | None as start, int() | None as end):
                nodes.append(has_children(start, end, CHILDREN[metatag.name]))
    return _one_of(nodes)


def _rating(metatag: Metatag) -> Any:
    return PREDICATES.rating(*(_rating_of(part) for part in split_list(metatag.value.lower())))


def _rating_of(word: str) -> str:
    """The rating of a word: its name, the name that a site has for it, or the start of its name."""
    if word in ("sfw", "nsfw"):
        raise ValueMistake(f"cannot be {word!r}, which means two ratings; write is:{word}")
    by_start = [name for name in RATINGS if name.startswith(word)]
    return word if word in RATING_NUMBERS else by_start[0] if by_start else choose(word, RATINGS)


def _filetype(metatag: Metatag) -> Any:
    return Post.file_ext.in_([choose(part, EXTENSIONS) for part in split_list(metatag.value.lower())])


def _source(metatag: Metatag) -> Any:
    if not metatag.value or (metatag.value.lower() == "none" and not metatag.quoted):
        return Post.source == ""
    # LIKE takes upper and lower case of Latin letters as equal.
    return fn.LIKE(like_pattern(metatag.value + "*"), Post.source, "\\")


_EVERY_POST: Final = Post.id.is_null(is_null=False)
_HAS_CHILDREN: Final = Post.has_children == True  # noqa: E712 - an expression
_HAS_PARENT: Final = Post.parent_id.is_null(is_null=False)
_STATES: Final = {
    "deleted": Post.is_deleted == True,  # noqa: E712
    "banned": Post.is_banned == True,  # noqa: E712
    "active": Post.is_deleted == False,  # noqa: E712
}
_LACKING_STATES: Final = dict.fromkeys(("pending", "flagged", "appealed", "modqueue", "unmoderated"), QUEUE)
_IS: Final[dict[str, Any]] = {
    "gold": PREDICATES.gold(),
    "parent": _HAS_CHILDREN,
    "child": _HAS_PARENT,
    "sfw": PREDICATES.rating("general", "sensitive"),
    "nsfw": PREDICATES.rating("questionable", "explicit"),
    **_STATES,
    **{rating: PREDICATES.rating(rating) for rating in RATING_NUMBERS},
    **{extension: Post.file_ext == extension for extension in EXTENSIONS},
    **_LACKING_STATES,
    "wiki_image": "wiki pages",
}
"""The conditions of `is:`; a text is what a metadata file lacks, here and below."""
_STATUS: Final[dict[str, Any]] = {
    **_STATES,
    **dict.fromkeys(("any", "all"), _EVERY_POST),
    **_LACKING_STATES,
    "wiki_image": "wiki pages",
}
_HAS: Final[dict[str, Any]] = {
    "parent": _HAS_PARENT,
    "child": _HAS_CHILDREN,
    "children": _HAS_CHILDREN,
    "source": Post.source != "",
    "image": PREDICATES.with_image(),
    **{name: name for name in ("notes", "comments", "pools")},
    "commentary": "artist commentaries",
    **dict.fromkeys(("flags", "appeals"), QUEUE),
    "replacements": "replaced files",
}
_PARENT: Final[dict[str, Any]] = {
    "any": _HAS_PARENT,
    "none": Post.parent_id.is_null(),
    **{name: Post.parent_id.in_(Post.select(Post.id).where(state)) for name, state in _STATES.items()},
    **_LACKING_STATES,
    "wiki_image": "wiki pages",
}
_CHILD: Final[dict[str, Any]] = {
    "any": _HAS_CHILDREN,
    "none": Post.has_children == False,  # noqa: E712
    **{name: Post.id.in_(Post.select(Post.parent_id).where(state)) for name, state in _STATES.items()},
    **_LACKING_STATES,
    "wiki_image": "wiki pages",
}
_IS_EMBEDDED: Final = Post.bit_flags.bin_and(1) != 0
_EMBEDDED: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "yes", "t", "y", "on", "1"), _IS_EMBEDDED),
    **dict.fromkeys(("false", "no", "f", "n", "off", "0"), Post.bit_flags.bin_and(1) == 0),
}


def _choice(choices: dict[str, Any], shown: Sequence[str] = ()) -> Callable[[Metatag], Any]:
    """Make the reader of a metatag whose value is one of a few words."""
    answered = [name for name, node in choices.items() if not isinstance(node, str)]
    lacking = {name: node for name, node in choices.items() if isinstance(node, str)}
    return lambda metatag: choices[choose(metatag.value.lower(), answered, shown, lacking)]


_parent_state = _choice(_PARENT, ("a post's id", "any", "none", *_STATES))


def _parent(metatag: Metatag) -> Any:
    if _NUMBER.fullmatch(metatag.value):
        return (Post.id == int(metatag.value)) | (Post.parent_id == int(metatag.value))
    return _parent_state(metatag)


def _order(metatag: Metatag, values: Mapping[str, Node | str] = VALUES) -> Any:
    check_order(metatag.value.lower(), values)
    return _EVERY_POST


def _text_in(column: JoinedColumn) -> Callable[[Metatag], Any]:
    """Make the reader of a joined column of texts; `*` in a value stands for any characters."""

    def read(metatag: Metatag) -> Any:
        if metatag.value in ("any", "none") and not metatag.quoted:
            return column.is_null(metatag.value == "none")
        if _COMPARISON.match(metatag.value) and not metatag.quoted:
            post_id, text = column.joined.first_text(column.name)
            raise ValueMistake(
                f"has texts, such as {text[:40]!r} of post {post_id}, and cannot be compared; if all are to be numbers, "
                f'correct the file, and for the text itself write {metatag.name}:"{metatag.value}"'
            )
        if "*" in metatag.value:
            return fn.LIKE(like_pattern(metatag.value), column, "\\")
        return column == metatag.value

    return read


def joined_rows(columns: Mapping[str, JoinedColumn] | None) -> dict[str, Row]:
    """The rows of the columns of joined files, and of the orders with them; None means that they are not known yet."""
    if columns is None:
        return {"order": lambda _: _EVERY_POST}
    values = VALUES | dict(columns)
    rows: dict[str, Row] = {
        name: (column, NUMBERS) if column.is_number else _text_in(column) for name, column in columns.items()
    }
    return rows | ({"order": lambda metatag: _order(metatag, values)} if columns else {})


def _number_of_posts(metatag: Metatag) -> Any:
    if not _NUMBER.fullmatch(metatag.value) or not int(metatag.value):
        raise ValueMistake(f"takes a number of posts, 1 or more, not {metatag.value!r}")
    return _EVERY_POST


METATAGS: Final[dict[str, Row]] = {
    "width": (Post.image_width, INTEGERS),
    "height": (Post.image_height, INTEGERS),
    "mpixels": (PIXELS, MEGAPIXELS),
    "score": (Post.score, INTEGERS),
    "upvotes": (Post.up_score, INTEGERS),
    "downvotes": (DOWNVOTES, INTEGERS),
    "favcount": (Post.fav_count, INTEGERS),
    "filesize": (Post.file_size, SIZES),
    "date": (Post.created_at, DATES),
    "age": (SECONDS, ages),
    "pixiv": (Post.pixiv_id, INTEGERS),
    "pixiv_id": (Post.pixiv_id, INTEGERS),
    "md5": (Post.md5, MD5S),
    **{name: (count, INTEGERS) for name, count in TAG_COUNTS.items()},
    **dict.fromkeys(CHILDREN, _children),
    "filetype": _filetype,
    "id": _id,
    "ratio": _ratio,
    "rating": _rating,
    "source": _source,
    "is": _choice(_IS),
    "has": _choice(_HAS),
    "status": _choice(_STATUS),
    "parent": _parent,
    "child": _choice(_CHILD),
    "embedded": _choice(_EMBEDDED, ("true", "yes", "false", "no")),
    NAMING: lambda _: _EVERY_POST,  # resolve.py looks the tag up
    "order": _order,
    "limit": _number_of_posts,
    "random": _number_of_posts,
    **dict.fromkeys(("note", "noter", "noteupdater"), "notes"),
    **dict.fromkeys(("comment", "commenter", "comm"), "comments"),
    **dict.fromkeys(("commentary", "commentaryupdater", "artcomm"), "artist commentaries"),
    **dict.fromkeys(("pool", "ordpool"), "pools"),
    **dict.fromkeys(("upvote", "upvoter", "downvote", "downvoter"), "votes"),
    **dict.fromkeys(("fav", "ordfav", "favgroup", "ordfavgroup", "reacted"), "favourites of users"),
    **dict.fromkeys(("approver", "flagger", "appealer", "disapproved", "locked"), QUEUE),
    "user": "user names (it has the number of the uploader: .where(Post.uploader_id == …))",
    "search": "saved searches",
    "exif": "EXIF data",
    "ai": "machine-made tags",
    "duration": "lengths of videos",
    "pixelhash": "hashes of pixels",
    **LACKING_COUNTS,
}
"""All metatags; after any other word, a colon is a part of a tag."""


def answered() -> list[str]:
    """The names of the metatags that a metadata file can answer."""
    return [name for name, row in METATAGS.items() if not isinstance(row, str)]
