"""The values of metatags: `5`, `>5`, `>=5`, `<5`, `<=5`, `..5`, `5..`, `5..10`, `5...10`, `any`, `none`, and lists.

A list may have any of these: `5,>10`. As on Danbooru, a number of megapixels or kilobytes means all posts within 5% of
it; in a list of numbers without signs, each means exactly itself.

Every form is converted to spans, which include their start and not their end. So a date means its whole day, month or
year, and every date is either before it, in it, or after it. `5..10` includes both ends, `5...10` does not include the
second. As on Danbooru, the ends may stand in either order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, inf, nextafter
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from hakubooru.moments import ZONE
from hakubooru.select.arguments import date_span
from hakubooru.select.danbooru.mistakes import ValueMistake

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

Bound: TypeAlias = int | float | str


@dataclass(frozen=True)
class Span:
    """A range of values with `start` <= value < `end`; None leaves an end open."""

    start: Bound | None
    end: Bound | None

    @property
    def only(self) -> int | None:
        """The whole number of a span that has exactly one; else None."""
        match self:
            case Span(int(start), int(end)) if end == start + 1:
                return start
        return None


@dataclass(frozen=True)
class Presence:
    """The values `any` and `none`: whether a post must have a value."""

    is_there: bool
    only: ClassVar[None] = None


@dataclass(frozen=True)
class Unit:
    """A way to read the values of a metatag."""

    read: Callable[[str], tuple[Bound, Bound]]
    """Reads a value as the start and end of its span; raises ValueMistake."""
    alone: Callable[[str], tuple[Bound, Bound]] | None = None
    """Reads a value without a sign, such as `2`, if its span is wider than that of `read`."""
    listed: Callable[[str], tuple[Bound, Bound]] | None = None
    """Reads a value in a list of values without signs, if its span differs from that of `alone`."""
    turned: bool = False
    """Whether greater values have smaller bounds: a greater age is an earlier moment."""


_LARGEST: Final = 2**63  # SQLite's integers end here
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:_[0-9]{1,40})*")
_DECIMAL: Final = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:e[+-]?[0-9]{1,2})?", re.IGNORECASE
)
_SIZE: Final = re.compile(r"([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})([km]?)b?", re.IGNORECASE)
_BYTES: Final = {"": 1, "k": 1024, "m": 1024**2}
_ROUNDED_SIZE: Final = re.compile(r".*[km]b?", re.IGNORECASE)
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
TOLERANCE: Final = Fraction(5, 100)
"""The part by which a post may differ from a number of megapixels or kilobytes without a sign, as on Danbooru."""
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
_SEPARATOR: Final = re.compile(r"[, ]+")
_BETWEEN: Final = re.compile(r"(.+?)(\.\.\.?)(.+)")
_SIGNS: Final = re.compile(r"<|>|\.\.")
_PRESENCE: Final = {"any": Presence(is_there=True), "none": Presence(is_there=False)}


def read_values(text: str, unit: Unit) -> tuple[Span | Presence, ...]:
    """Read a value or a list of values; a post matches if it matches one of the results.

    Raises:
        ValueMistake: a value cannot be read, or a range is empty.
    """
    if not _SEPARATOR.search(text):
        return (_read(text, unit),)
    parts = split_list(text)
    if _SIGNS.search(text):
        return tuple(_read(part, unit) for part in parts)
    return tuple(_PRESENCE.get(part.lower()) or _listed(part, unit) for part in parts)


def split_list(text: str) -> list[str]:
    """Split a list at its commas or spaces, which may also follow the last part.

    Raises:
        ValueMistake: the list has no parts, or nothing before the first comma.
    """
    parts = _SEPARATOR.split(text)
    while parts and not parts[-1]:
        parts.pop()
    if not parts or not parts[0]:
        raise ValueMistake(f"takes lists such as a,b, and {text!r} has nothing before its first comma")
    return parts


def _read(text: str, unit: Unit) -> Span | Presence:
    if text.lower() in _PRESENCE:
        return _PRESENCE[text.lower()]
    ends = _BETWEEN.fullmatch(text)
    if ends:
        return _between(unit.read(ends[1]), unit.read(ends[3]), inclusive=ends[2] == "..")
    for sign, pattern in _ONE_SIDED.items():
        match = pattern.fullmatch(text)
        if match:
            return _one_sided(sign, unit.read(match[1] or match[2]), unit)
    return Span(*(unit.alone or unit.read)(text))


def _listed(text: str, unit: Unit) -> Span:
    return Span(*(unit.listed or unit.alone or unit.read)(text))


_ONE_SIDED: Final = {
    "<=": re.compile(r"<=(.+)|\.\.(.+)"),
    "<": re.compile(r"<(.+)()"),
    ">=": re.compile(r">=(.+)|(.+)\.\."),
    ">": re.compile(r">(.+)()"),
}
_TURNED: Final = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


def _between(first: tuple[Bound, Bound], second: tuple[Bound, Bound], *, inclusive: bool) -> Span:
    low, high = sorted((first, second))
    span = Span(low[0], high[1] if inclusive else high[0])
    if span.start == span.end:  # as in 5...5
        raise ValueMistake(
            "takes ranges with values in them, and this one is empty: ... does not include its end, .. does"
        )
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
        raise ValueMistake(f"takes whole numbers, not {text!r}")
    return _bounded(Fraction(text), text)


def _decimal(text: str) -> Fraction:
    if not _DECIMAL.fullmatch(text):
        raise ValueMistake(f"takes numbers such as 2 or 1.5, not {text!r}")
    return Fraction(text)


def _number(text: str) -> tuple[float, float]:
    # No double lies between a number and the next.
    value = float(_decimal(text))
    return value, nextafter(value, inf)


def _pixels(text: str) -> tuple[int, int]:
    return _bounded(_decimal(text) * 10**6, text)


def _about_pixels(text: str) -> tuple[int, int]:
    return _about(_decimal(text) * 10**6, text)


def _ratio(text: str) -> tuple[int, int]:
    """Read a ratio as hundredths, rounded to the nearest."""
    width, sign, height = text.replace("/", ":").partition(":")
    if sign and not height[:1].isdigit() and height[:1] != ".":
        raise ValueMistake(f"takes width:height, such as 16:9 or 1.78, not {text!r}")
    divisor = _decimal(height) if sign else Fraction(1)
    if not divisor:
        raise ValueMistake(f"takes width:height, such as 16:9, and the height in {text!r} is 0")
    return _bounded(Fraction(floor(_decimal(width) / divisor * 100 + Fraction(1, 2))), text)


def _size(text: str) -> Fraction:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueMistake(f"takes bytes, or sizes such as 200kb or 1.5mb, not {text!r}")
    return Fraction(floor(Fraction(match[1]) * _BYTES[match[2].lower()]))


def _bytes(text: str) -> tuple[int, int]:
    return _bounded(_size(text), text)


def _about_bytes(text: str) -> tuple[int, int]:
    # A number of bytes is exact; a number of kilobytes or megabytes is rounded.
    return _about(_size(text), text) if _ROUNDED_SIZE.fullmatch(text) else _bytes(text)


def _about(value: Fraction, text: str) -> tuple[int, int]:
    low, high = sorted((value * (1 - TOLERANCE), value * (1 + TOLERANCE)))
    return _bounded(low, text)[0], _bounded(high, text)[1]


def _md5(text: str) -> tuple[str, str]:
    if not _MD5.fullmatch(text):
        raise ValueMistake(f"takes hashes of 32 hexadecimal digits, not {text!r}")
    # No other hash lies between a hash and the same text with "." after it.
    return text.lower(), text.lower() + "."


def _bounded(value: Fraction, text: str) -> tuple[int, int]:
    """The span of the whole numbers that equal a value; it is empty if the value is not whole."""
    if abs(value) >= _LARGEST - 1:
        raise ValueMistake(f"takes numbers below {_LARGEST:.1e}, and {text!r} is larger")
    return ceil(value), floor(value) + 1


def _date(text: str) -> tuple[str, str]:
    try:
        return date_span(text)
    except ValueError as error:
        raise ValueMistake(f"takes {error}") from None


def ages(now: datetime) -> Unit:
    """The unit of ages; bounds are seconds since 1970, and an age without a sign means its whole day."""
    present = Fraction(now.timestamp())

    def moment(text: str) -> tuple[int, int]:
        try:
            return _bounded(Fraction(floor(present - seconds(text))), text)
        except ValueError:
            raise ValueMistake(
                f"takes ages such as 3d, 1h30m or 1y (units: s, m, h, d, w, mo, y), not {text!r}"
            ) from None

    def day(text: str) -> tuple[int, int]:
        second, _ = moment(text)
        try:
            date = datetime.fromtimestamp(second, UTC).astimezone(ZONE).date()
            return _midnight(date), _midnight(date + timedelta(days=1))
        except (ValueError, OverflowError, OSError):
            raise ValueMistake(f"takes ages within the calendar, and {text!r} goes back too far") from None

    return Unit(moment, alone=day, turned=True)


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


def _midnight(day: date) -> int:
    """The start of a day in Danbooru's time zone, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp())


INTEGERS: Final = Unit(_integer)
NUMBERS: Final = Unit(_number)
"""The unit of numbers with a fraction; bounds are doubles."""
MEGAPIXELS: Final = Unit(_pixels, alone=_about_pixels, listed=_pixels)
"""The unit of megapixels; bounds are in pixels."""
RATIOS: Final = Unit(_ratio)
"""The unit of aspect ratios; bounds are hundredths of width / height."""
SIZES: Final = Unit(_bytes, alone=_about_bytes, listed=_bytes)
"""The unit of file sizes; bounds are in bytes."""
DATES: Final = Unit(_date)
"""The unit of dates; bounds are ISO dates, which compare as text with the dates of the file."""
MD5S: Final = Unit(_md5)
"""The unit of MD5 hashes; bounds are text."""
