"""What each metatag asks of a post."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from peewee import NodeList, fn

from hakubooru.nearest import nearest
from hakubooru.schema import RATINGS, Post
from hakubooru.select import ask
from hakubooru.select.columns import EXTENSIONS
from hakubooru.select.predicate import Condition
from hakubooru.select.search import unanswerable
from hakubooru.select.search.mistake import mistake
from hakubooru.select.search.orders import ORDERS
from hakubooru.select.search.ranges import (
    DATES,
    INTEGERS,
    MEGAPIXELS,
    RATIOS,
    SIZES,
    Span,
    Unit,
    ValueMistake,
    ages,
    read_spans,
)
from hakubooru.select.values import COUNTS, DOWNVOTES, HAS_RATIO, PIXELS, SECONDS
from hakubooru.sql import id_list
from hakubooru.tags import like_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakubooru.select.search.syntax import Metatag

CLOSING: Final = ("order", "limit", "random")
"""The metatags that speak of the whole search."""
_STATES: Final = ("deleted", "banned", "active")
_FAMILY: Final = {"any": True, "none": False}
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}
_MOST_VARIABLES: Final = 500  # SQLite takes 999 at the least
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")

_RANGES: Final[dict[str, tuple[Any, Unit]]] = {
    "width": (Post.image_width, INTEGERS),
    "height": (Post.image_height, INTEGERS),
    "mpixels": (PIXELS, MEGAPIXELS),
    "score": (Post.score, INTEGERS),
    "upvotes": (Post.up_score, INTEGERS),
    "downvotes": (DOWNVOTES, INTEGERS),
    "favcount": (Post.fav_count, INTEGERS),
    "filesize": (Post.file_size, SIZES),
    "date": (Post.created_at, DATES),
    "pixiv": (Post.pixiv_id, INTEGERS),
    "pixiv_id": (Post.pixiv_id, INTEGERS),
    **{name: (count, INTEGERS) for name, count in COUNTS.items()},
}


def check(metatag: Metatag, text: str) -> None:
    """Check that a metatag of a search can be answered.

    Raises:
        SearchError: it cannot; the message shows the place.
    """
    try:
        _check(metatag)
    except ValueMistake as error:
        raise mistake(text, metatag.place, f"{metatag.name}: {error}") from None


def _check(metatag: Metatag) -> None:
    if metatag.name in unanswerable.METATAGS:
        what = unanswerable.METATAGS[metatag.name]
        raise ValueMistake(f"cannot be answered: a metadata file has no {what}")
    if metatag.name in CLOSING:
        _check_closing(metatag)
    elif metatag.name != "unaliased":
        condition(metatag)


def condition(metatag: Metatag, now: datetime | None = None) -> Condition:
    """What a metatag asks, as a predicate.

    Args:
        metatag: any but `order`, `limit`, `random` and `unaliased`.
        now: what `age:` counts back from; by default, the present.

    Raises:
        ValueMistake: its value cannot be read.
    """
    if metatag.name in _RANGES:
        column, unit = _RANGES[metatag.name]
        node = _in_range(column, unit, metatag.value)
    elif metatag.name == "age":
        node = _in_range(SECONDS, ages(now or datetime.now(UTC)), metatag.value)
    else:
        node = _READERS[metatag.name](metatag)
    words = str(metatag)
    return replace(node, words=words) if isinstance(node, Condition) else Condition(node, words)


def _in_range(column: Any, unit: Unit, text: str) -> Any:
    if text.lower() in _FAMILY:
        return column.is_null(not _FAMILY[text.lower()])
    spans = read_spans(text, unit)
    single = [span.start for span in spans if isinstance(span.start, int) and span.end == span.start + 1]
    if len(single) == len(spans) > 1:
        return column.in_(single if len(single) <= _MOST_VARIABLES else id_list(single))
    return _one_of([_in_span(column, span) for span in spans])


def _one_of(nodes: list[Any]) -> Any:
    return nodes[0] if len(nodes) == 1 else NodeList(nodes, glue=" OR ", parens=True)


def _in_span(column: Any, span: Span) -> Any:
    match span:
        case Span(int(start), int(end)) if end == start + 1:
            return column == start
        case Span(None, end):
            return column < end
        case Span(start, None):
            return column >= start
        case Span(start, end):
            return (column >= start) & (column < end)


def _ratio(metatag: Metatag) -> Any:
    if metatag.value.lower() in _FAMILY:
        return HAS_RATIO if _FAMILY[metatag.value.lower()] else ~HAS_RATIO
    return HAS_RATIO & _one_of([_in_hundredths(span) for span in read_spans(metatag.value, RATIOS)])


def _in_hundredths(span: Span) -> Any:
    # In whole numbers: what rounds to n hundredths or more is (2n - 1) / 200 or more.
    low, high = (
        Post.image_height * (2 * int(bound) - 1) if bound is not None else None
        for bound in (span.start, span.end)
    )
    width = Post.image_width * 200
    ends = ([] if low is None else [width >= low]) + ([] if high is None else [width < high])
    return reduce(and_, ends)


def _id(metatag: Metatag) -> Any:
    spans = [] if metatag.value.lower() in _FAMILY else read_spans(metatag.value, INTEGERS)
    match spans:
        case [Span(int(start), int() | None as end)]:
            return ask.ids(start, end)
        case _:
            return _in_range(Post.id, INTEGERS, metatag.value)


def _rating(metatag: Metatag) -> Any:
    names = [_known(part, (*RATINGS, *(name[0] for name in RATINGS)), RATINGS) for part in _list(metatag)]
    return ask.rating(*names)


def _filetype(metatag: Metatag) -> Any:
    return Post.file_ext.in_([_known(part, EXTENSIONS) for part in _list(metatag)])


def _md5(metatag: Metatag) -> Any:
    if metatag.value.lower() in _FAMILY:
        return Post.md5.is_null(not _FAMILY[metatag.value.lower()])
    for part in _list(metatag):
        if not _MD5.fullmatch(part):
            raise ValueMistake(f"takes hashes of 32 hexadecimal digits, and {part!r} is none")
    return Post.md5.in_(_list(metatag))


def _source(metatag: Metatag) -> Any:
    value = metatag.value
    if not value or (value.lower() in _FAMILY and not metatag.quoted):
        has_source = _FAMILY.get(value.lower(), False)
        return Post.source != "" if has_source else Post.source == ""
    return fn.LIKE(like_pattern(value + "*"), Post.source, "\\")  # in either case of the Latin letters


def _is(metatag: Metatag) -> Any:
    value = metatag.value.lower()
    ours: dict[str, Callable[[], Any]] = {
        "gold": ask.gold,
        "parent": lambda: Post.has_children == True,  # noqa: E712 - an expression
        "child": lambda: Post.parent_id.is_null(is_null=False),
        "sfw": lambda: ask.rating("general", "sensitive"),
        "nsfw": lambda: ask.rating("questionable", "explicit"),
    }
    _known(value, (*ours, *_STATES, *RATINGS, *EXTENSIONS), lacking=unanswerable.IS)
    if value in ours:
        return ours[value]()
    if value in _STATES:
        return _state(value)
    return ask.rating(value) if value in RATINGS else Post.file_ext == value


def _status(metatag: Metatag) -> Any:
    value = _known(metatag.value.lower(), (*_STATES, "any", "all"), lacking=unanswerable.IS)
    return _state(value) if value in _STATES else Post.id.is_null(is_null=False)


def _has(metatag: Metatag) -> Any:
    ours: dict[str, Callable[[], Any]] = {
        "parent": lambda: Post.parent_id.is_null(is_null=False),
        "child": lambda: Post.has_children == True,  # noqa: E712
        "children": lambda: Post.has_children == True,  # noqa: E712
        "source": lambda: Post.source != "",
        "image": ask.with_image,
    }
    return ours[_known(metatag.value.lower(), tuple(ours), lacking=unanswerable.HAS)]()


def _parent(metatag: Metatag) -> Any:
    value = metatag.value.lower()
    if _NUMBER.fullmatch(value):
        return (Post.id == int(value)) | (Post.parent_id == int(value))
    _known(value, (*_FAMILY, *_STATES), ("a post's id", *_FAMILY, *_STATES), lacking=unanswerable.IS)
    if value in _FAMILY:
        return Post.parent_id.is_null(not _FAMILY[value])
    return Post.parent_id.in_(Post.select(Post.id).where(_state(value)))


def _child(metatag: Metatag) -> Any:
    value = _known(metatag.value.lower(), (*_FAMILY, *_STATES), lacking=unanswerable.IS)
    if value in _FAMILY:
        return Post.has_children == _FAMILY[value]
    return Post.id.in_(Post.select(Post.parent_id).where(_state(value)))


def _embedded(metatag: Metatag) -> Any:
    flag = Post.bit_flags.bin_and(1)
    return flag != 0 if _BOOLEANS[_known(metatag.value.lower(), tuple(_BOOLEANS))] else flag == 0


_READERS: Final[dict[str, Callable[[Metatag], Any]]] = {
    "md5": _md5,
    "filetype": _filetype,
    "id": _id,
    "ratio": _ratio,
    "rating": _rating,
    "source": _source,
    "is": _is,
    "has": _has,
    "status": _status,
    "parent": _parent,
    "child": _child,
    "embedded": _embedded,
}
ANSWERED: Final = (*_RANGES, "age", *_READERS, "unaliased", *CLOSING)
KNOWN: Final = frozenset({*ANSWERED, *unanswerable.METATAGS})
"""All names that a colon makes a metatag; before any other, it is part of a tag."""


def _state(state: str) -> Any:
    if state == "banned":
        return Post.is_banned == True  # noqa: E712
    return Post.is_deleted == (state == "deleted")


def _check_closing(metatag: Metatag) -> None:
    if metatag.name == "order":
        value = metatag.value.lower()
        base = value.removesuffix("_asc").removesuffix("_desc")
        lacking = {value: unanswerable.ORDERS[base]} if base in unanswerable.ORDERS else {}
        _known(value, ORDERS, [name for name in ORDERS if not name.endswith(("_asc", "_desc"))], lacking)
    elif not _NUMBER.fullmatch(metatag.value) or not int(metatag.value):
        raise ValueMistake(f"takes a number of posts from 1, and {metatag.value!r} is none")


def _list(metatag: Metatag) -> list[str]:
    return metatag.value.lower().split(",")


def _known(
    value: str, known: tuple[str, ...], shown: Any = None, lacking: Mapping[str, str] | None = None
) -> str:
    if value in known:
        return value
    if lacking and value in lacking:
        raise ValueMistake(f"cannot be {value!r} here: a metadata file has no {lacking[value]}")
    raise ValueMistake(f"cannot be {value!r}; {nearest(value, shown or known)}")
