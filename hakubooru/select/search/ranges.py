"""The values that a metatag takes: `5`, `>5`, `>=5`, `<5`, `<=5`, `..5`, `5..`, `5..10`, `5...10`, `any`, `none`.

Any of these may stand in a list: `5,>10`. A number of megapixels or kilobytes means the posts within 5% of it,
as on Danbooru; in a list of nothing but numbers each is meant exactly.

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
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias
from zoneinfo import ZoneInfo

from hakubooru.select.dates import date_span
from hakubooru.select.search.durations import seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

Bound: TypeAlias = int | str


class ValueMistake(Exception):  # noqa: N818 - never leaves this package
    """A value that cannot be read; the message says the rule."""


@dataclass(frozen=True)
class Span:
    """Values from `start` up to, and without, `end`; None leaves an end open."""

    start: Bound | None
    end: Bound | None

    @property
    def only(self) -> int | None:
        """The whole number that it holds, where it holds just one."""
        match self:
            case Span(int(start), int(end)) if end == start + 1:
                return start
        return None


@dataclass(frozen=True)
class Presence:
    """That there is a value, or that there is none."""

    is_there: bool
    only: ClassVar[None] = None


@dataclass(frozen=True)
class Unit:
    """How the values of a metatag are written."""

    read: Callable[[str], tuple[Bound, Bound]]
    """The start and the end of what a value stands for; raises ValueMistake."""
    alone: Callable[[str], tuple[Bound, Bound]] | None = None
    """The same for a value that stands without a sign, where that means something wider."""
    listed: Callable[[str], tuple[Bound, Bound]] | None = None
    """The same for a value in a list of nothing but values, where that means something else again."""
    turned: bool = False
    """Whether more means smaller: a greater age is an earlier moment."""


_LARGEST: Final = 2**63  # SQLite's integers end here
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:_[0-9]{1,40})*")
_DECIMAL: Final = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:e[+-]?[0-9]{1,2})?", re.IGNORECASE
)
_SIZE: Final = re.compile(r"([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})([km]?)b?", re.IGNORECASE)
_BYTES: Final = {"": 1, "k": 1024, "m": 1024**2}
_ROUNDED_SIZE: Final = re.compile(r".*[km]b?", re.IGNORECASE)
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
_ZONE: Final = ZoneInfo("America/New_York")
"""Danbooru's: in which a day begins."""
TOLERANCE: Final = Fraction(5, 100)
"""How far from a number of megapixels or kilobytes without a sign a post may be, as on Danbooru."""
_SEPARATOR: Final = re.compile(r"[, ]+")
_BETWEEN: Final = re.compile(r"(.+?)(\.\.\.?)(.+)")
_SIGNS: Final = re.compile(r"<|>|\.\.")
_PRESENCE: Final = {"any": Presence(is_there=True), "none": Presence(is_there=False)}


def read_values(text: str, unit: Unit) -> tuple[Span | Presence, ...]:
    """What a value means: one of these has to hold.

    Raises:
        ValueMistake: it cannot be read, or means nothing.
    """
    if not _SEPARATOR.search(text):
        return (_read(text, unit),)
    parts = split_list(text)
    if _SIGNS.search(text):
        return tuple(_read(part, unit) for part in parts)
    return tuple(_PRESENCE.get(part.lower()) or _listed(part, unit) for part in parts)


def split_list(text: str) -> list[str]:
    """The parts of a list: commas or blanks stand between them, and may stand after the last.

    Raises:
        ValueMistake: there is none, or nothing stands before the first comma.
    """
    parts = _SEPARATOR.split(text)
    while parts and not parts[-1]:
        parts.pop()
    if not parts or not parts[0]:
        raise ValueMistake(f"takes lists such as a,b, and {text!r} has nothing before a comma")
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
    if sign and not height[:1].isdigit() and height[:1] != ".":
        raise ValueMistake(f"takes width to height, such as 16:9 or 1.78, and {text!r} is none")
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
    # Bytes are counted, kilobytes and megabytes are estimated.
    return _about(_size(text), text) if _ROUNDED_SIZE.fullmatch(text) else _bytes(text)


def _about(value: Fraction, text: str) -> tuple[int, int]:
    low, high = sorted((value * (1 - TOLERANCE), value * (1 + TOLERANCE)))
    return _bounded(low, text)[0], _bounded(high, text)[1]


def _md5(text: str) -> tuple[str, str]:
    if not _MD5.fullmatch(text):
        raise ValueMistake(f"takes hashes of 32 hexadecimal digits, and {text!r} is none")
    # Nothing that is such a hash stands between one and itself with a letter more.
    return text.lower(), text.lower() + "."


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
    """Ages, as the seconds since 1970 at which a post of that age was made; an age alone means its whole day."""
    present = Fraction(now.timestamp())

    def moment(text: str) -> tuple[int, int]:
        try:
            return _bounded(Fraction(floor(present - seconds(text))), text)
        except ValueError:
            raise ValueMistake(
                f"takes ages such as 3d, 1h30m or 1y (units: s, m, h, d, w, mo, y), and {text!r} is none"
            ) from None

    def day(text: str) -> tuple[int, int]:
        second, _ = moment(text)
        try:
            made = datetime.fromtimestamp(second, UTC).astimezone(_ZONE).date()
            return _midnight(made), _midnight(made + timedelta(days=1))
        except (ValueError, OverflowError, OSError):
            raise ValueMistake(f"reaches back before the calendar with {text!r}") from None

    return Unit(moment, alone=day, turned=True)


def _midnight(day: date) -> int:
    """The second at which a day begins in Danbooru's zone."""
    return int(datetime(day.year, day.month, day.day, tzinfo=_ZONE).timestamp())


INTEGERS: Final = Unit(_integer)
MEGAPIXELS: Final = Unit(_pixels, alone=_about_pixels, listed=_pixels)
"""As pixels."""
RATIOS: Final = Unit(_ratio)
"""Width to height, as hundredths."""
SIZES: Final = Unit(_bytes, alone=_about_bytes, listed=_bytes)
"""As bytes."""
DATES: Final = Unit(_date)
"""As ISO dates, which compare as text with the dates of the file."""
MD5S: Final = Unit(_md5)
"""As text of 32 digits."""
