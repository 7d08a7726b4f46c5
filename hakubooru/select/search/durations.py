"""Durations as Danbooru writes them: `3d`, `2weeks`, `1h30m`, `1.5y`, `60`."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import Final

_DAY: Final = 86_400
_YEAR: Final = Fraction("365.25") * _DAY
_UNITS: Final[dict[str, Fraction]] = {
    "years": _YEAR,
    "months": _YEAR / 12,
    "weeks": Fraction(7 * _DAY),
    "days": Fraction(_DAY),
    "hours": Fraction(3600),
    "minutes": Fraction(60),
    "seconds": Fraction(1),
}
"""The units in seconds, longest first. As on Danbooru, all months have one length, and all years."""
_SHORT: Final = {"": "seconds", "m": "minutes", "hr": "hours", "wk": "weeks", "yr": "years"}
_NAMES: Final = {
    # "mo" is a month and "mi" a minute; `_SHORT` has the meaning of "m".
    **{unit[:length]: unit for unit in _UNITS for length in range(1, len(unit) + 1)},
    **_SHORT,
}
_PART: Final = re.compile(r"((?:[0-9]*\.)?[0-9]+)([a-z]*)", re.IGNORECASE)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.IGNORECASE)
_LONGEST: Final = 100


def seconds(text: str) -> Fraction:
    """Convert a duration to seconds; a number without a unit means seconds.

    Raises:
        ValueError: the text is not a duration, or its units do not go from long to short.
    """
    parts = _PART.findall(text) if len(text) <= _LONGEST and _WHOLE.fullmatch(text) else []
    units = [_NAMES.get(unit.lower(), "") for _, unit in parts]
    lengths = [_UNITS[unit] for unit in units if unit]
    is_descending = all(longer > shorter for longer, shorter in pairwise(lengths))
    if not parts or len(lengths) < len(parts) or not is_descending:
        raise ValueError(text)
    return sum(
        (Fraction(count) * length for (count, _), length in zip(parts, lengths, strict=True)), Fraction(0)
    )
