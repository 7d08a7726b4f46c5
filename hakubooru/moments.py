"""Dates and times as Danbooru writes them: in its own time zone, such as `2005-05-23T23:35:31.000-04:00`.

The year of a post is read from the first four characters of its date. In another time zone, a post of New Year's Eve
would get another year. Dumps of 2016 write no milliseconds; such dates stay as they are.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

ZONE: Final = ZoneInfo("America/New_York")

_SINCE_1900: Final = re.compile(
    r"^((?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3})?(-0[45]:00)$", re.MULTILINE
)
"""The hour and the offset of a date. Since 1900, New York's clocks were changed at whole hours only."""
_SPELLING: Final = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]{3})?-0[45]:00")
_LONGEST_DAY: Final = len("2005-05-23")


class NoZoneError(ValueError):
    """A date and time does not name its time zone, so the moment is not known."""


def danbooru_date(value: datetime | str) -> str:
    """Write a moment as Danbooru does; text that is written so already is returned unchanged.

    Args:
        value: a datetime with a time zone, or ISO text with one; the text may end in " UTC".

    Raises:
        NoZoneError: the value names no time zone.
        ValueError: the value is not a date and time, or Danbooru's calendar cannot write it.
    """
    moment = value if isinstance(value, datetime) else _read(value)
    if moment.tzinfo is None:
        raise NoZoneError(value)
    try:
        local = moment.astimezone(ZONE)
    except OverflowError as error:
        raise ValueError(value) from error
    # Equal hours of equal days mean equal zones. To compute the offset takes three times as long.
    is_local = (local.day, local.hour, local.minute) == (moment.day, moment.hour, moment.minute)
    if is_local and isinstance(value, str) and _SPELLING.fullmatch(value):
        return value
    text = local.isoformat(timespec="milliseconds")
    if not _SPELLING.fullmatch(text):  # before 1883 the offset had seconds, which SQLite does not read
        raise ValueError(value)
    return text


def _read(text: str) -> datetime:
    if len(text) <= _LONGEST_DAY:
        raise ValueError(text)
    iso = text.removesuffix(" UTC")
    return datetime.fromisoformat(iso if iso == text else iso + "+00:00")


def are_danbooru_dates(texts: Sequence[str]) -> bool:
    """Whether `danbooru_date` would return all of some texts unchanged; false also for odd ones, such as from before 1900."""
    text = "\n".join(texts)
    hours = _SINCE_1900.findall(text)
    is_whole = len(hours) == len(texts) == text.count("\n") + 1
    return is_whole and all(_is_local(hour, offset) for hour, offset in set(hours))


@lru_cache(maxsize=2**15)
def _is_local(hour: str, offset: str) -> bool:
    """Whether New York's clocks have an offset in an hour, such as `2005-05-23T23`. Other dates are in the same hour."""
    try:
        moment = datetime.fromisoformat(f"{hour}:00:00{offset}")
    except ValueError:
        return False
    return moment.astimezone(ZONE).hour == moment.hour
