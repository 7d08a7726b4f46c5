"""The metatags of a search and the condition that each stands for."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final

from peewee import fn

from hakubooru.select import ask
from hakubooru.select.predicate import Condition, Or
from hakubooru.select.search import states, unanswerable
from hakubooru.select.search.children import CHILD_COUNTS, in_span
from hakubooru.select.search.mistake import mistake
from hakubooru.select.search.orders import ORDERS
from hakubooru.select.search.ranges import (
    DATES,
    INTEGERS,
    MD5S,
    MEGAPIXELS,
    RATIOS,
    SIZES,
    Presence,
    Span,
    Unit,
    ValueMistake,
    ages,
    read_values,
    split_list,
)
from hakubooru.select.values import COUNTS, DOWNVOTES, HAS_RATIO, PIXELS, SECONDS
from hakubooru.store.schema import EXTENSIONS, RATINGS, Post
from hakubooru.store.sql import id_list
from hakubooru.store.tags import like_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hakubooru.select.search.syntax import Metatag

CLOSING: Final = ("order", "limit", "random")
"""The metatags that belong to the whole search."""
_MOST_VARIABLES: Final = 500  # SQLite takes 999 at the least
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
    "md5": (Post.md5, MD5S),
    **{name: (count, INTEGERS) for name, count in COUNTS.items()},
}


def check(metatag: Metatag, text: str) -> None:
    """Check that a metadata file can answer a metatag of a search.

    Raises:
        SearchError: it cannot answer the metatag or its value; the message shows the place.
    """
    try:
        _check(metatag)
    except ValueMistake as error:
        raise mistake(text, metatag.place, f"{metatag.name}: {error}") from None


def _check(metatag: Metatag) -> None:
    if metatag.name in unanswerable.METATAGS:
        lacking = unanswerable.METATAGS[metatag.name]
        raise ValueMistake(f"cannot be answered: a metadata file has no {lacking}")
    if metatag.name in CLOSING:
        _check_closing(metatag)
    elif metatag.name != "unaliased":
        condition(metatag)


def condition(metatag: Metatag, now: datetime | None = None) -> Condition:
    """Make the predicate that a metatag stands for.

    Args:
        metatag: a metatag other than `order`, `limit`, `random` and `unaliased`.
        now: the moment from which `age:` counts back; by default, the present.

    Raises:
        ValueMistake: the value of the metatag cannot be read.
    """
    if metatag.name in _RANGES:
        column, unit = _RANGES[metatag.name]
        node = _in_range(column, unit, metatag.value)
    elif metatag.name == "age":
        node = _in_range(SECONDS, ages(now or datetime.now(UTC)), metatag.value)
    elif metatag.name in CHILD_COUNTS:
        node = _children(metatag)
    else:
        node = _READERS[metatag.name](metatag)
    note = states.caveat(metatag)
    words = f"{metatag} ({note})" if note else str(metatag)
    return replace(node, words=words) if isinstance(node, Condition) else Condition(node, words)


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
            return ask.ids(start, end)
        case _:
            return _in_range(Post.id, INTEGERS, metatag.value)


def _children(metatag: Metatag) -> Any:
    is_deleted = CHILD_COUNTS[metatag.name]
    return _one_of(
        [
            _holds(Post.id, value) if isinstance(value, Presence) else in_span(value, is_deleted)
            for value in read_values(metatag.value, INTEGERS)
        ]
    )


def _rating(metatag: Metatag) -> Any:
    return ask.rating(*(_rating_of(part) for part in split_list(metatag.value.lower())))


def _rating_of(word: str) -> str:
    """The rating that begins with a word; "safe" is the name of sensitive before 2022."""
    if word in ("sfw", "nsfw"):
        raise ValueMistake(f"cannot be {word!r}, which means two ratings; write is:{word}")
    by_start = [name for name in RATINGS if name.startswith(word)]
    return "sensitive" if word == "safe" else by_start[0] if by_start else states.choose(word, RATINGS)


def _filetype(metatag: Metatag) -> Any:
    return Post.file_ext.in_([states.choose(part, EXTENSIONS) for part in split_list(metatag.value.lower())])


def _source(metatag: Metatag) -> Any:
    if not metatag.value or (metatag.value.lower() == "none" and not metatag.quoted):
        return Post.source == ""
    return fn.LIKE(
        like_pattern(metatag.value + "*"), Post.source, "\\"
    )  # upper and lower case of Latin letters are equal


_READERS: Final[dict[str, Callable[[Metatag], Any]]] = {
    "filetype": _filetype,
    "id": _id,
    "ratio": _ratio,
    "rating": _rating,
    "source": _source,
    "is": states.is_,
    "has": states.has,
    "status": states.status,
    "parent": states.parent,
    "child": states.child,
    "embedded": states.embedded,
}
ANSWERED: Final = (*_RANGES, "age", *CHILD_COUNTS, *_READERS, "unaliased", *CLOSING)
KNOWN: Final = frozenset({*ANSWERED, *unanswerable.METATAGS})
"""The names of all metatags; after any other word, a colon is a part of a tag."""
MAY_BE_EMPTY: Final = ("source",)
"""The metatags that may have no value."""


def _check_closing(metatag: Metatag) -> None:
    if metatag.name == "order":
        value = metatag.value.lower()
        base = value.removesuffix("_asc").removesuffix("_desc")
        lacking = {value: unanswerable.ORDERS[base]} if base in unanswerable.ORDERS else {}
        shown = [name for name in ORDERS if not name.endswith(("_asc", "_desc"))]
        states.choose(value, ORDERS, shown, lacking)
    elif not _NUMBER.fullmatch(metatag.value) or not int(metatag.value):
        raise ValueMistake(f"takes a number of posts, 1 or more, not {metatag.value!r}")
