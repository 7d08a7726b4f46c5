"""Errors of searches, which point at the place of the mistake, and what a metadata file lacks."""

from __future__ import annotations

import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from hakubooru.errors import SearchError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Place: TypeAlias = tuple[int, int]
"""The place of a term in a search: the index of its first character, and of the first after it."""

CLOSES_NOTHING: Final = "this ) closes nothing; remove it, or add a ( before it"
QUEUE: Final = "moderation queue"
LACKING_COUNTS: Final = {
    f"{name}{ending}": lacking
    for lacking, names in {
        "comments": "comment deleted_comment active_comment",
        "notes": "note deleted_note active_note",
        "pools": "pool deleted_pool active_pool series_pool collection_pool",
        QUEUE: "flag appeal approval disapproval",
        "replaced files": "replacement",
    }.items()
    for name in names.split()
    for ending in ("_count", "s")
}
"""What a metadata file lacks for the counts that are metatags and orders, such as `comment_count` and `comments`."""
_LINE: Final = 100
"""How many characters of a long search a message shows."""


class ValueMistake(Exception):  # noqa: N818 - never leaves this package
    """The value of a metatag cannot be read; the message says what the metatag takes."""


def mistake(text: str, place: Place, message: str) -> SearchError:
    """Make an error whose message shows the search with carets under a place."""
    start, end = place
    first = max(0, start - _LINE // 2) if len(text) > _LINE else 0
    last = min(len(text), first + _LINE)
    excerpt = "".join(" " if char.isspace() else char for char in text[first:last])
    before, under = excerpt[: start - first], excerpt[start - first : end - first]
    line = f"{'…' if first else ''}{excerpt}{'…' if last < len(text) else ''}"
    indent = " " * (_width(before) + bool(first))
    return SearchError(f"{message}\n  {line}\n  {indent}{'^' * max(1, _width(under))}")


def choose(
    value: str,
    choices: Collection[str],
    shown: Collection[str] = (),
    lacking: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Check that a value is one of the choices, and return it.

    Args:
        value: the value of a metatag.
        choices: all values that the metatag takes.
        shown: the choices that the message names; by default, all.
        lacking: for values that only Danbooru takes, what a metadata file lacks for them.

    Raises:
        ValueMistake: the value is not one of the choices.
    """
    if value in choices:
        return value
    if value in lacking:
        raise ValueMistake(f"cannot be {value!r} here: a metadata file has no {lacking[value]}")
    raise ValueMistake(f"cannot be {value!r}; {nearest(value, shown or choices)}")


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
