"""Errors of searches that point at the place of the mistake."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from hakubooru.errors import SearchError

if TYPE_CHECKING:
    from hakubooru.select.search.syntax import Place

CLOSES_NOTHING: Final = "this ) closes nothing; remove it, or add a ( before it"
_LINE: Final = 100
"""How many characters of a long search a message shows."""


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


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
