"""The values that a metatag takes: `5`, `>5`, `>=5`, `<5`, `<=5`, `..5`, `5..`, `5..10`, `5...10`, `5,6`.

Every form comes down to spans that hold their start and not their end. So a date means its whole day (month,
year), and `<`, that date alone, and `>` leave nothing out between them. Both ends of `5..10` are included, the
second of `5...10` is not, and the two may stand in either order, as on Danbooru.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Final, TypeAlias

from hakubooru.select.dates import date_span, months_after

if TYPE_CHECKING:
    from collections.abc import Callable

Bound: TypeAlias = int | str


class ValueMistake(Exception):  # noqa: N818 - never leaves this package
    """A value that cannot be read; the message says the rule."""


@dataclass(frozen=True)
class Span:
    """Values from `start` up to, and without, `end`; None leaves an end open."""

    start: Bound | None
    end: Bound | None


@dataclass(frozen=True)
class Unit:
    """How the values of a metatag are written."""

    read: Callable[[str], tuple[Bound, Bound]]
    """The start and the end of what a value stands for; raises ValueMistake."""
    alone: Callable[[str], tuple[Bound, Bound]] | None = None
    """The same for a value that stands alone, where that means something wider."""
    turned: bool = False
    """Whether more means smaller: a greater age is an earlier moment."""


_LARGEST: Final = 2**63  # SQLite's integers end here
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([km]?)b?", re.IGNORECASE)
_BYTES: Final = {"": 1, "k": 1024, "m": 1024**2}
_AGE: Final = re.compile(
    r"([0-9]+)(s|sec(?:ond)?s?|mi|min(?:ute)?s?|h|hours?|d|days?|w|weeks?|mo|mon(?:th)?s?|y|years?)",
    re.IGNORECASE,
)
_SECONDS: Final = {"s": 1, "mi": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS: Final = {"mo": 1, "y": 12}
_DAY: Final = 86_400
TOLERANCE: Final = Fraction(5, 100)
"""How far from a number of megapixels or kilobytes that stands alone a post may be, as on Danbooru."""


def read_spans(text: str, unit: Unit) -> tuple[Span, ...]:
    """The spans that a value means.

    Raises:
        ValueMistake: it cannot be read, or means nothing.
    """
    if "," in text:
        return tuple(_alone(part, unit) for part in text.split(","))
    for sign in ("...", ".."):
        low, found, high = text.partition(sign)
        if found and low and high:
            return (_between(unit.read(low), unit.read(high), inclusive=sign == ".."),)
    for sign, pattern in _ONE_SIDED.items():
        match = pattern.fullmatch(text)
        if match:
            return (_one_sided(sign, unit.read(match[1] or match[2]), unit),)
    return (_alone(text, unit),)


_ONE_SIDED: Final = {
    "<=": re.compile(r"<=(.+)|\.\.(.+)"),
    "<": re.compile(r"<(.+)()"),
    ">=": re.compile(r">=(.+)|(.+)\.\."),
    ">": re.compile(r">(.+)()"),
}
_TURNED: Final = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


def _alone(text: str, unit: Unit) -> Span:
    return Span(*(unit.alone or unit.read)(text))


def _between(one: tuple[Bound, Bound], other: tuple[Bound, Bound], *, inclusive: bool) -> Span:
    low, high = sorted((one, other))
    span = Span(low[0], high[1] if inclusive else high[0])
    if span.start == span.end:  # as in 5...5
        raise ValueMistake("takes ranges that hold something, and nothing lies between these ends")
    return span


def _one_sided(sign: str, value: tuple[Bound, Bound], unit: Unit) -> Span:
    start, end = value
    match _TURNED[sign] if unit.turned else sign:
        case "<=":
            return Span(None, end)
        case "<":
            return Span(None, start)
        case ">=":
            return Span(start, None)
        case _:
            return Span(end, None)


def _integer(text: str) -> tuple[int, int]:
    if not _INTEGER.fullmatch(text):
        raise ValueMistake(f"takes whole numbers, and {text!r} is none")
    return _bounded(Fraction(text), text)


def _decimal(text: str) -> Fraction:
    if not _DECIMAL.fullmatch(text):
        raise ValueMistake(f"takes numbers such as 2 or 1.5, and {text!r} is none")
    return Fraction(text)


def _pixels(text: str) -> tuple[int, int]:
    return _bounded(_decimal(text) * 10**6, text)


def _about_pixels(text: str) -> tuple[int, int]:
    return _about(_decimal(text) * 10**6, text)


def _ratio(text: str) -> tuple[int, int]:
    """Hundredths, rounded to the nearest."""
    width, sign, height = text.replace("/", ":").partition(":")
    below = _decimal(height) if sign else Fraction(1)
    if not below:
        raise ValueMistake(f"takes width to height, and {text!r} has no height")
    return _bounded(Fraction(floor(_decimal(width) / below * 100 + Fraction(1, 2))), text)


def _size(text: str) -> Fraction:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueMistake(f"takes bytes, or sizes such as 200kb or 1.5mb, and {text!r} is neither")
    return Fraction(floor(Fraction(match[1]) * _BYTES[match[2].lower()]))


def _bytes(text: str) -> tuple[int, int]:
    return _bounded(_size(text), text)


def _about_bytes(text: str) -> tuple[int, int]:
    # A number without a unit is meant to the byte.
    return _bytes(text) if text[-1].isdigit() else _about(_size(text), text)


def _about(value: Fraction, text: str) -> tuple[int, int]:
    low, high = value * (1 - TOLERANCE), value * (1 + TOLERANCE)
    return _bounded(low, text)[0], _bounded(high, text)[1]


def _bounded(value: Fraction, text: str) -> tuple[int, int]:
    """The whole numbers that equal a value: one, or none, where start and end fall together."""
    if abs(value) >= _LARGEST - 1:
        raise ValueMistake(f"takes numbers below {_LARGEST:.1e}, and {text!r} is not")
    return ceil(value), floor(value) + 1


def _date(text: str) -> tuple[str, str]:
    try:
        return date_span(text)
    except ValueError as error:
        raise ValueMistake(f"takes {error}") from None


def ages(now: datetime) -> Unit:
    """Ages, as the seconds since 1970 at which a post of that age was made."""

    def moment(text: str) -> tuple[int, int]:
        seconds = floor(_before(now, text).timestamp())
        return seconds, seconds + 1

    def day(text: str) -> tuple[int, int]:
        start = moment(text)[0] // _DAY * _DAY
        return start, start + _DAY

    return Unit(moment, alone=day, turned=True)


def _before(now: datetime, text: str) -> datetime:
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueMistake(
            f"takes ages such as 3d, 2weeks or 1y (units: s, mi, h, d, w, mo, y), and {text!r} is none"
        )
    count, unit = int(match[1]), match[2].lower()
    name = unit[:2] if unit[:2] in ("mi", "mo") else unit[:1]
    now = now.astimezone(UTC)
    try:
        if name in _SECONDS:
            return now - timedelta(seconds=count * _SECONDS[name])
        year, month = months_after(now.year, now.month, -count * _MONTHS[name])
        # The last day of the month where it has no such day.
        last = (datetime(*months_after(year, month, 1), 1, tzinfo=UTC) - timedelta(days=1)).day
        return now.replace(year=year, month=month, day=min(now.day, last))
    except (ValueError, OverflowError):
        raise ValueMistake(f"reaches back before the calendar with {text!r}") from None


INTEGERS: Final = Unit(_integer)
MEGAPIXELS: Final = Unit(_pixels, alone=_about_pixels)
"""As pixels."""
RATIOS: Final = Unit(_ratio)
"""Width to height, as hundredths."""
SIZES: Final = Unit(_bytes, alone=_about_bytes)
"""As bytes."""
DATES: Final = Unit(_date)
"""As ISO dates, which compare as text with the dates of the file."""
