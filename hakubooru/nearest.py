"""Suggestions for mistyped names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def nearest(name: object, choices: Iterable[str]) -> str:
    """Suggest a name in a sentence: the choice nearest to a mistyped name, or all choices if none is near."""
    names = list(choices)
    near = closest(str(name), names)
    return f"did you mean {near!r}?" if near else _all(names)


def unknown_keys(keys: Iterable[object], choices: Iterable[str]) -> Iterator[str]:
    """Say for each key that is no choice which choice is nearest; keys that are near none share one sentence."""
    names = list(choices)
    unknown = {key: closest(str(key), names) for key in keys if key not in names}
    yield from (f"no key {key!r}; did you mean {near!r}?" for key, near in unknown.items() if near)
    if far := [repr(key) for key, near in unknown.items() if not near]:
        yield f"no key {' or '.join(far)}; {_all(names)}"


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The choice nearest to a mistyped name; None if no choice is near.

    A near choice differs in at most one letter of three: wrong, missing, added, or exchanged with its neighbour. If there
    is none, a choice is near that has all the words of the name, or only words of it. Anything but letters and digits
    separates words.
    """
    from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
    from rapidfuzz.distance import OSA  # noqa: PLC0415

    names = list(choices)
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


def _all(names: list[str]) -> str:
    return f"there are: {', '.join(names)}" if names else "there are none"


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.lower()))
