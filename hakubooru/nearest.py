"""The mend for a mistyped name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """A sentence that names the known name nearest to a mistyped one, or else all of them."""
    names = list(known)
    found = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {found[0]!r}?" if found else f"there are: {', '.join(names)}"
