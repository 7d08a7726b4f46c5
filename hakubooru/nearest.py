"""Suggestions for mistyped names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """Suggest a name in a sentence: the known name nearest to a mistyped one, or all names if none is near."""
    names = list(known)
    near = closest(str(name), names)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(names)}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a mistyped one; None if no name is near.

    A near name differs in at most one letter of three: wrong, missing, added, or exchanged with its neighbour. If
    there is no such name, one is near that has all the words of the mistyped one, or only words of it. Words are
    separated by anything but letters and digits.
    """
    from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
    from rapidfuzz.distance import OSA  # noqa: PLC0415

    names = list(known)
    near = process.extractOne(name, names, scorer=OSA.distance, score_cutoff=slack(name), processor=str.lower)
    if near:
        return str(near[0])
    words = _words(name)
    sharing = (
        other for other in names if words and (words <= _words(other) or words >= _words(other) > set())
    )
    return next(sharing, None)


def slack(name: str) -> int:
    """How many letters of a mistyped name may be wrong: one in three, and none of a number."""
    return 0 if name.isdigit() else (len(name) + 1) // 3


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.lower()))
