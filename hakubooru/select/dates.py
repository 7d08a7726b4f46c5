"""Dates as people write them: a year, a month, or a day."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")


def date_span(text: str) -> tuple[str, str]:
    """The first day of a year, a month or a day, and the first after it, as ISO dates.

    These compare as text with the dates of the file.

    Raises:
        ValueError: it is none; the message says how dates are written.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"dates such as 2024, 2024-05 or 2024-05-31, and {text!r} is none")
    year, month, day = (int(part) if part else None for part in match.groups())
    try:
        first = date(year or 0, month or 1, day or 1)
        after = date(*months_after(first.year, first.month, 1 if month else 12), 1)
        return str(first), str(first + timedelta(days=1) if day else after)
    except (ValueError, OverflowError):
        raise ValueError(f"dates of the calendar, and {text!r} is none") from None


def months_after(year: int, month: int, count: int) -> tuple[int, int]:
    """The year and month that stand `count` months after."""
    months = year * 12 + month - 1 + count
    return months // 12, months % 12 + 1
