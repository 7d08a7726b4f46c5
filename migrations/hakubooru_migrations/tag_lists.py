"""The lists of tag ids of generation 1: `$6KMR#$1#`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

LISTS: Final = (
    "tag_list_general",
    "tag_list_artist",
    "tag_list_character",
    "tag_list_copyright",
    "tag_list_meta",
)
"""Columns of the lists by type; a column's place is the number of the type."""

_LETTER: Final = re.compile("[A-Za-z]")
_BASE_36, _DECIMAL = 36, 10
_NONE: Final = -1


class TagLists:
    """Reads lists of tag ids.

    The published file writes them in base 36, an early writer wrote decimals. A list with a letter is base 36. One
    without is what the table of tags knows: the reading by which more of the ids exist, then the one by which more
    have the type of the list that they stand in; then that of the rest of the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._types: dict[int, int] = dict(connection.execute("SELECT id, type FROM tag"))
        has_letters = connection.execute(
            "SELECT 1 FROM post WHERE tag_list GLOB '*[A-Za-z]*' LIMIT 1"
        ).fetchone()
        self._usual = _BASE_36 if has_letters else _DECIMAL
        self._ids = {base: _Ids(self._types, base) for base in (_BASE_36, _DECIMAL)}
        self.unknown = 0
        """How many ids belong to no tag."""
        self.first_unknown = ""

    def read(self, post_id: int, whole: str | None, by_type: Sequence[str | None]) -> list[int]:
        """The ids of a post's tags, in the order of its list, each once; those that belong to no tag are left out."""
        texts = _texts(whole)
        base = _BASE_36 if _LETTER.search(whole or "") else self._base(texts, by_type)
        meaning = self._ids[base]
        ids = dict.fromkeys(map(meaning.__getitem__, texts))
        if _NONE in ids:
            del ids[_NONE]
            unknown = [text for text in texts if meaning[text] == _NONE]
            self.unknown += len(unknown)
            self.first_unknown = self.first_unknown or f"{unknown[0]} of post {post_id}"
        return list(ids)

    def _base(self, texts: Sequence[str], by_type: Sequence[str | None]) -> int:
        def fit(base: int) -> tuple[int, int, bool]:
            meaning = self._ids[base]
            exist = sum(meaning[text] != _NONE for text in texts)
            of_type = sum(
                self._types.get(meaning[text]) == type_number
                for type_number, some in enumerate(by_type)
                for text in _texts(some)
            )
            return exist, of_type, base == self._usual

        return max((_BASE_36, _DECIMAL), key=fit)


class _Ids(dict[str, int]):
    """What the text of an id means, by text; `_NONE` where it belongs to no tag."""

    def __init__(self, types: Mapping[int, int], base: int) -> None:
        super().__init__()
        self._types = types
        self._base = base

    def __missing__(self, text: str) -> int:
        try:
            number = int(text, self._base)
        except ValueError:
            number = _NONE
        self[text] = number if number in self._types else _NONE
        return self[text]


def _texts(written: str | None) -> list[str]:
    return [text for text in (written or "").strip("$#").split("#$") if text]
