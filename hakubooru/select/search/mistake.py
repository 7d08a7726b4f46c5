"""Pointing at the place of a mistake in a search."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from hakubooru.errors import SearchError

if TYPE_CHECKING:
    from hakubooru.select.search.syntax import Place

CLOSES_NOTHING: Final = "this ) closes nothing; take it away, or open a ( before"
_LINE: Final = 100
"""Characters of a long search that are shown around the place."""


def mistake(text: str, place: Place, message: str) -> SearchError:
    """An error whose message shows the search, with carets under the place."""
    start, end = place
    left = max(0, start - _LINE // 2) if len(text) > _LINE else 0
    right = min(len(text), left + _LINE)
    shown = "".join(" " if char.isspace() else char for char in text[left:right])
    before, under = shown[: start - left], shown[start - left : end - left]
    line = f"{'…' if left else ''}{shown}{'…' if right < len(text) else ''}"
    indent = " " * (_width(before) + bool(left))
    return SearchError(f"{message}\n  {line}\n  {indent}{'^' * max(1, _width(under))}")


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
