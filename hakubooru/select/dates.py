"""Dates as people write them: a year, a month, or a day."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>[0-9]{4})(?:(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?:(?P=sign)(?P<day>[0-9]{1,2}))?)?",
        r"(?P<day>[0-9]{1,2})(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?P=sign)(?P<year>[0-9]{4})",
        r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
    )
)
"""The forms 2024, 2024-05, 2024-05-31, 31-5-2024 and 20240531; `/` or `.` may stand in place of both `-`."""


def date_span(text: str) -> tuple[str, str]:
    """The first day of a year, month or day, and the first day after it, as ISO dates.

    The results compare as text with the dates of the file. A day may also be written first, as Danbooru reads it:
    `31/5/2024`.

    Raises:
        ValueError: the text is not a date; the message says how dates are written.
    """
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        raise ValueError(f"a date such as 2024, 2024-05 or 2024-05-31, not {text!r}")
    year, month, day = (int(match[part]) if match[part] else None for part in ("year", "month", "day"))
    try:
        first = date(year or 0, month or 1, day or 1)
        after = date(*months_after(first.year, first.month, 1 if month else 12), 1)
        return str(first), str(first + timedelta(days=1) if day else after)
    except (ValueError, OverflowError):
        raise ValueError(f"a date of the calendar, which {text!r} is not") from None


def months_after(year: int, month: int, count: int) -> tuple[int, int]:
    """The year and month that follow `count` months after a year and month."""
    months = year * 12 + month - 1 + count
    return months // 12, months % 12 + 1
