"""Moments as Danbooru writes them: in its own time zone, to the millisecond, `2005-05-23T23:35:31.000-04:00`.

A post's year is the first four characters of its date, so that a date in another zone puts what was posted on New
Year's Eve into another year. Dumps of 2016 write no milliseconds, which is left as it is.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("America/New_York")

_SPELLING: Final = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]{3})?-0[45]:00")
_LONGEST_DAY: Final = len("2005-05-23")


class NoZoneError(ValueError):
    """A date and a time that could be any of several moments: it does not say in which time zone it is."""


def danbooru_date(value: datetime | str) -> str:
    """A moment as Danbooru writes it; what is written so already stays to the letter.

    Args:
        value: a time with its zone, or an ISO text of one; that text may end in " UTC".

    Raises:
        NoZoneError: it names no time zone.
        ValueError: it is no moment, or one that Danbooru's calendar cannot hold.
    """
    moment = value if isinstance(value, datetime) else _read(value)
    if moment.tzinfo is None:
        raise NoZoneError(value)
    try:
        local = moment.astimezone(ZONE)
    except OverflowError as error:
        raise ValueError(value) from error
    # The same hour of the same day: no other zone. Asking for the offset itself takes three times as long.
    is_local = (local.day, local.hour, local.minute) == (moment.day, moment.hour, moment.minute)
    if is_local and isinstance(value, str) and _SPELLING.fullmatch(value):
        return value
    written = local.isoformat(timespec="milliseconds")
    if not _SPELLING.fullmatch(written):  # before 1883 the zone had seconds, which SQLite does not read
        raise ValueError(value)
    return written


def _read(text: str) -> datetime:
    if len(text) <= _LONGEST_DAY:
        raise ValueError(text)
    iso = text.removesuffix(" UTC")
    return datetime.fromisoformat(iso if iso == text else iso + "+00:00")
