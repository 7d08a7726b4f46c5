"""Dates and times as Danbooru writes them: in its own time zone, such as `2005-05-23T23:35:31.000-04:00`.

The year of a post is read from the first four characters of its date. In another time zone, a post of New Year's Eve
would get another year. Dumps of 2016 write no milliseconds; such dates stay as they are.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from operator import add
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Moments = np.ndarray[Any, np.dtype[np.datetime64]]

ZONE: Final = ZoneInfo("America/New_York")

_SPELLING: Final = re.compile(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]{3})?-0[45]:00")
_LINE: Final = re.compile(
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\.[0-9]{3})?(-0[45]:00)$",
    re.MULTILINE,
)
"""A line that is a date as Danbooru writes it: the day, and the offset."""
_ENDINGS: Final = {-5: "-05:00", -4: "-04:00"}
"""How the hours from UTC to Danbooru's zone are written."""
_FIRST, _LAST = np.datetime64("1970-01-01"), np.datetime64("9999-01-01")
_LONGEST_DAY: Final = len("2005-05-23")
_OFFSET: Final = len("-04:00")


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
    spelt = value if isinstance(value, str) and _SPELLING.fullmatch(value) else ""
    if spelt and _is_in_force(spelt[:_LONGEST_DAY], spelt[-_OFFSET:]):
        return spelt
    if moment.tzinfo is None:
        raise NoZoneError(value)
    try:
        local = moment.astimezone(ZONE)
    except OverflowError as error:
        raise ValueError(value) from error
    # Equal hours of equal days mean equal zones. To compute the offset takes three times as long.
    is_local = (local.day, local.hour, local.minute) == (moment.day, moment.hour, moment.minute)
    if is_local and spelt:
        return spelt
    text = local.isoformat(timespec="milliseconds")
    if not _SPELLING.fullmatch(text):  # before 1883 the offset had seconds, which SQLite does not read
        raise ValueError(value)
    return text


def are_danbooru_dates(texts: Sequence[str]) -> list[bool]:
    """Whether it is clear at once that `danbooru_date` returns each text unchanged; it is not where clocks are changed."""
    text = "\n".join(texts)
    days = _LINE.findall(text)
    if not len(days) == len(texts) == text.count("\n") + 1:
        return [False] * len(texts)
    are_right = {(day, offset): _is_in_force(day, offset) for day, offset in set(days)}
    return [are_right[day] for day in days]


def are_of_our_time(moments: Moments) -> bool:
    """Whether moments in UTC, (N,), are all from 1970 to 9998."""
    # As days: NumPy compares in the finer unit, and nanoseconds do not reach the year 9999.
    ends = () if not len(moments) else (moments.min(), moments.max())
    return all(_FIRST <= end.astype("datetime64[D]") < _LAST for end in ends)


def danbooru_dates(moments: Moments) -> list[str]:
    """Write moments in UTC, (N,), from 1970 to 9998, as `danbooru_date` does."""
    # Since 1970 clocks have been changed at whole hours, at most once a day, and the offset is of whole hours.
    days, places = np.unique(moments.astype("datetime64[D]"), return_inverse=True)
    midnights = 24 * days.astype(np.int64)
    first, last = (
        np.array(list(map(_hours_from_utc, hours.tolist())), np.int64)
        for hours in (midnights, midnights + 23)
    )
    offsets = first[places]
    rows = np.flatnonzero(offsets != last[places])  # of days on which they are changed
    hours = moments[rows].astype("datetime64[h]").astype(np.int64).tolist()
    offsets[rows] = list(map(_hours_from_utc, hours))
    local = moments.astype("datetime64[ms]") + offsets.astype("timedelta64[h]")
    endings = map(_ENDINGS.__getitem__, offsets.tolist())
    return list(map(add, np.datetime_as_string(local).tolist(), endings))


@lru_cache(2**16)
def _hours_from_utc(hour: int) -> int:
    """The offset of Danbooru's zone, in hours, in an hour since 1970."""
    offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(ZONE).utcoffset()
    return round(offset.total_seconds() / 3600) if offset else 0


@lru_cache(2**14)
def _is_in_force(day: str, offset: str) -> bool:
    """Whether an offset is that of Danbooru's zone from the beginning of a day to its end; false if there is no such day."""
    try:
        ends = [
            datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZONE) for time in ("00:00:00", "23:59:59")
        ]
    except ValueError:
        return False
    return all(end.isoformat().endswith(offset) for end in ends)


def _read(text: str) -> datetime:
    if len(text) <= _LONGEST_DAY:
        raise ValueError(text)
    iso = text.removesuffix(" UTC")
    return datetime.fromisoformat(iso if iso == text else iso + "+00:00")
