"""Read the lists of tag ids of generation 1, such as `$6KMR#$1#`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from hakubooru.arrays import as_flags, as_numbers, is_first, strings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from typing import Any

    Numbers = np.ndarray[Any, Any]

LISTS: Final = (
    "tag_list_general",
    "tag_list_artist",
    "tag_list_character",
    "tag_list_copyright",
    "tag_list_meta",
)
"""The columns of lists by type; the index of a column is the number of the type."""

_LETTER: Final = "[A-Za-z]"
_BASE_36, _DECIMAL = 36, 10
_NONE: Final = -1


class TagLists:
    """A reader of lists of tag ids, which are in base 36 or decimal.

    The published file has base 36, and an early writer wrote decimals. A list with a letter is base 36. A list without
    letters is read in the base in which more of its ids are tags of the file. If that is equal, it is the base in which
    more ids have the type of their list. If that is equal too, it is the base of the rest of the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._types: dict[int, int] = dict(connection.execute("SELECT id, type FROM tag"))
        has_letters = connection.execute(
            "SELECT 1 FROM post WHERE tag_list GLOB '*[A-Za-z]*' LIMIT 1"
        ).fetchone()
        self._usual = _BASE_36 if has_letters else _DECIMAL
        self._ids = {base: _Ids(self._types, base) for base in (_BASE_36, _DECIMAL)}
        self.unknown = 0
        """How many ids have been read that are not tags of the file."""
        self.first_unknown = ""
        """The first id that is not a tag of the file, and its post."""

    def read(self, posts: Sequence[int], lists: Sequence[str | None]) -> tuple[Numbers, Numbers]:
        """Read the lists of some posts, in their order: the ids of the posts and of the tags, (R,) int64 each.

        A tag that a list has twice is there once. Ids without a tag are left out.
        """
        texts = strings([text or "" for text in lists])
        cut = pc.split_pattern(pc.utf8_trim(texts, characters="$#"), "#$")
        encoded = cut.flatten().dictionary_encode()
        words, codes = encoded.dictionary.to_pylist(), as_numbers(encoded.indices, np.int32)
        starts = as_numbers(cut.offsets, np.int32)
        places = np.repeat(np.arange(len(posts)), np.diff(starts))
        ids = np.array([self._ids[_BASE_36][word] for word in words], np.int64)[codes]
        for place in np.flatnonzero(~as_flags(pc.match_substring_regex(texts, _LETTER))).tolist():
            part = slice(starts[place], starts[place + 1])
            own = [words[code] for code in codes[part].tolist()]
            base = self._base(posts[place], own) if any(own) else _BASE_36
            ids[part] = [self._ids[base][word] for word in own]
        is_word = np.array([bool(word) for word in words], np.bool_)[codes]
        unknown = np.flatnonzero((ids == _NONE) & is_word)
        if len(unknown):
            self.unknown += len(unknown)
            first = unknown[0]
            self.first_unknown = self.first_unknown or f"{words[codes[first]]} of post {posts[places[first]]}"
        known = _once(places, ids, np.flatnonzero(ids != _NONE))
        return np.array(posts, np.int64)[places[known]], ids[known]

    def _base(self, post_id: int, texts: Sequence[str]) -> int:
        lists = ", ".join(f"CAST({name} AS TEXT)" for name in LISTS)
        by_type: Sequence[Any] = self._connection.execute(
            f"SELECT {lists} FROM post WHERE id = ?", [post_id]
        ).fetchone()

        def fit(base: int) -> tuple[int, int, bool]:
            meaning = self._ids[base]
            exist = sum(meaning[text] != _NONE for text in texts)
            of_type = sum(
                self._types.get(meaning[text]) == type_number
                for type_number, ids in enumerate(by_type)
                for text in _texts(ids)
            )
            return exist, of_type, base == self._usual

        return max((_BASE_36, _DECIMAL), key=fit)


class _Ids(dict[str, int]):
    """A cache of the number of an id by its text, in one base; `_NONE` if the file has no such tag."""

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


def _once(places: Numbers, ids: Numbers, known: Numbers) -> Numbers:
    """Which of some known tags of posts stand in their list for the first time."""
    keys = places[known] * (ids.max(initial=0) + 1) + ids[known]
    if is_first(np.sort(keys)).all():
        return known
    _, firsts = np.unique(keys, return_index=True)
    once: Numbers = known[np.sort(firsts)]
    return once


def _texts(tag_list: str | None) -> list[str]:
    texts = (tag_list or "").strip("$#").split("#$")
    return texts if all(texts) else [text for text in texts if text]
