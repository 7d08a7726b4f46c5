"""The mend for a mistyped name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """A sentence that names the known name nearest to a mistyped one, or else all of them."""
    names = list(known)
    near = closest(str(name), names)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(names)}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a mistyped one: a few letters away, or else with its words; None if none is near.

    Letters may be exchanged, and one in three may be wrong, missing or too many; words are what stands between
    underscores, blanks and points.
    """
    from rapidfuzz import process  # noqa: PLC0415 - needed only where something was mistyped
    from rapidfuzz.distance import OSA  # noqa: PLC0415

    names = list(known)
    near = process.extractOne(name, names, scorer=OSA.distance, score_cutoff=slack(name), processor=str.lower)
    if near:
        return str(near[0])
    wanted = _words(name)
    sharing = (
        other for other in names if wanted and (wanted <= _words(other) or wanted >= _words(other) > set())
    )
    return next(sharing, None)


def slack(name: str) -> int:
    """How many letters of a mistyped name may be wrong; of a number none."""
    return 0 if name.isdigit() else (len(name) + 1) // 3


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.lower()))
