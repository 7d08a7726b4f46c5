"""Read the values of a record: each function takes a value as a source has it, and gives that of the file's column.

None means that the source does not know the value. A value that cannot be read raises `ValueError` with the reason.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from math import isnan
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from hakubooru.moments import NoZoneError, are_danbooru_dates, danbooru_date
from hakubooru.store.schema import EXTENSIONS
from hakubooru.store.sites import RATINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hakubooru.ingest.maps import RecordMap

DATES: Final = ("created_at", "updated_at")
_FLAG_WORDS: Final = {"t": 1, "true": 1, "1": 1, "f": 0, "false": 0, "0": 0}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CTIME: Final = re.compile(
    rf"[A-Z][a-z]{{2}} ({'|'.join(_MONTHS)}) ([ 0-9]?[0-9]) ([0-9:]{{8}}) ([+-][0-9]{{4}}) ([0-9]{{4}})"
)
_JPEG: Final = ("jpeg", "jpe", "jfif")
_WHOLE_TEXT: Final = re.compile(r"[+-]?[0-9]{1,19}(\.0)?")
_LEAST_MS, _LATEST_MS = 2**38, 2**48
"""Numbers of dates from here on are milliseconds since 1970; as seconds, the first would be in the year 10680."""
_EXPECTED_DATES: Final = {
    "iso": "a date such as 2005-05-23T23:35:31.000-04:00",
    "epoch": "seconds or milliseconds since 1970, such as 1116905731",
    "ctime": "a date such as Fri Jan 20 12:19:14 -0600 2023",
}


class Reader(NamedTuple):
    """How the values of a column are read."""

    one: Callable[[Any], Any]
    """Reads a value, or raises ValueError."""
    many: Callable[[Sequence[Any]], Sequence[Any] | None]
    """Reads all values of a batch at once, if they are plain, which nearly all are; else returns None."""


def readers(columns: tuple[str, ...], by: RecordMap, *, of_texts: bool) -> dict[str, Reader]:
    """The reader of each column of the file, for the records of a map.

    Args:
        columns: the columns of the file.
        by: the map.
        of_texts: whether numbers and flags may be texts, and an empty text stands for no value.
    """
    table: dict[str, Callable[[Any], Any]] = {
        "id": _id_in_path(by.id_pattern) if by.id_pattern else _post_id,
        "source": _source,
        "md5": _md5,
        "file_ext": _extension,
        **dict.fromkeys(("image_width", "image_height", "file_size", "parent_id", "pixiv_id"), _positive),
        "file_url": _text,
        "large_file_url": _text,
        "preview_file_url": _text,
        "rating": _rating_of(by),
        "created_at": _date_of(by),
        "updated_at": _date_of(by),
    }
    chosen = {
        column: table.get(column, _flag if column.startswith(("has_", "is_")) else _whole)
        for column in columns
    }
    if of_texts:
        return {column: Reader(_of_text(read), _no_shortcut) for column, read in chosen.items()}
    shortcuts = dict(_SHORTCUTS)
    if by.dates == "iso":
        shortcuts |= {chosen[column]: partial(_dates, chosen[column]) for column in DATES}
    return {column: Reader(read, shortcuts.get(read, _no_shortcut)) for column, read in chosen.items()}


def kind_of(value: object) -> str:
    """What a value is, in words, for messages."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), "nothing" if value is None else f"of the type {type(value).__name__}")


def refusal(value: object, expected: str) -> str:
    """Say what a value is and what it must be."""
    if value is None:
        return "is missing"
    shown = f"is {value!r}" if isinstance(value, str | int | float) else f"is {kind_of(value)}"
    return f"{shown[:100]}, and must be {expected}"


def _refusal_of_text(value: object, expected: str) -> str:
    """Say what a value is and what it must be, and how a text is read, if it has a number or a flag."""
    is_written = isinstance(value, str) and (value.lower() in _FLAG_WORDS or _WHOLE_TEXT.fullmatch(value))
    mend = "; `texts = true` of a --map reads numbers and flags in texts" if is_written else ""
    return refusal(value, expected) + mend


def _of_text(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a reader that takes numbers and flags as text too; an empty text is unknown."""

    def of_text(value: Any) -> Any:
        if value == "" and read is not _source:
            return None
        if isinstance(value, str):
            if read is _flag and value.lower() in _FLAG_WORDS:
                return _FLAG_WORDS[value.lower()]
            if read in (_whole, _positive, _post_id) and _WHOLE_TEXT.fullmatch(value):
                value = int(value.removesuffix(".0"))
        return read(value)

    return of_text


def _whole(value: Any) -> int | None:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    # Some tables write NaN for a missing value; only NaN differs from itself.
    if value is None or value != value:  # noqa: PLR0124
        return None
    if type(value) in (float, Decimal) and abs(value) <= 2**53 and value == int(value):
        return int(value)  # some tables store integers as DOUBLE or DECIMAL
    raise ValueError(_refusal_of_text(value, "a whole number"))


def _positive(value: Any) -> int | None:
    """Read a number of pixels or bytes, or an id; some sets have 0 or less where there is none: Gelbooru for no parent."""
    number = _whole(value)
    return number if number is not None and number > 0 else None


def _post_id(value: Any) -> int:
    number = _whole(value)
    if number is None:
        raise ValueError(refusal(None, ""))
    if number < 1:
        raise ValueError(f"is {number}, and must be a positive number")
    return number


def _id_in_path(pattern: str) -> Callable[[Any], int]:
    find = re.compile(pattern).search

    def read(value: Any) -> int:
        match = find(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(refusal(value, "a name with the id of a post, such as danbooru_123.jpg"))
        return _post_id(int(match[1]))

    return read


def _flag(value: Any) -> int | None:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if value in (0, 1):  # true and false are 1 and 0 too; some tables store flags as numbers
        return 1 if value else 0
    raise ValueError(_refusal_of_text(value, "true or false"))


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    raise ValueError(refusal(value, "text"))


def _source(value: Any) -> str:
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    return _text(value) or ""


def _md5(value: Any) -> str | None:
    text = _text(value)
    return text.lower() if text else None  # any text: Danbooru itself has a malformed one


def _extension(value: Any) -> str | None:
    """Read an extension, or that of a name, as Danbooru writes it: small, and `jpg` for all names of JPEG."""
    text = _text(value)
    extension = text.rpartition(".")[2].lower() if text else ""
    return "jpg" if extension in _JPEG else extension or None


def _rating_of(by: RecordMap) -> Callable[[Any], int | None]:
    numbers = {word: RATINGS.index(name) for word, name in by.ratings.items()}
    shown = [name[0] for name in RATINGS] if set(RATINGS) <= set(numbers) else list(numbers)
    expected = f"one of {', '.join(shown)}"

    def read(value: Any) -> int | None:
        try:
            return numbers[value]
        except (KeyError, TypeError):
            pass
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return None
        word = str(int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if isinstance(word, str) and word.lower() in numbers:
            return numbers[word.lower()]
        raise ValueError(refusal(value, expected))

    return read


def _date_of(by: RecordMap) -> Callable[[Any], str | None]:
    zone = ZoneInfo(by.zone) if by.zone else None
    parse = {"iso": lambda value: value, "epoch": _of_epoch, "ctime": _of_ctime}[by.dates]
    expected = _EXPECTED_DATES[by.dates]

    def read(value: Any) -> str | None:
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return None
        try:
            moment = parse(value)
            if isinstance(moment, datetime | str):
                return _in_zone(moment, zone)
        except NoZoneError as error:
            raise ValueError(
                f"is {str(value)!r}, without a time zone, and must be {expected}; `zone` of a --map names the zone"
            ) from error
        except ValueError:
            pass
        is_number = type(value) in (int, float) and by.dates != "epoch"
        mend = '; `dates = "epoch"` of a --map reads seconds or milliseconds since 1970' if is_number else ""
        raise ValueError(refusal(value, expected) + mend)

    return read


def _in_zone(moment: datetime | str, zone: ZoneInfo | None) -> str:
    try:
        return danbooru_date(moment)
    except NoZoneError:
        if zone is None:
            raise
        local = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
        return danbooru_date(local.replace(tzinfo=zone))


def _of_epoch(value: Any) -> Any:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < _LATEST_MS:
        return datetime.fromtimestamp(number if number < _LEAST_MS else number / 1000, UTC)
    return None


def _of_ctime(value: Any) -> Any:
    match = _CTIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value  # Gelbooru-SQLite's scripts wrote either form
    month, day, time, offset, year = match.groups()
    number = _MONTHS.index(month) + 1
    return f"{year}-{number:02}-{int(day):02}T{time}{offset[:3]}:{offset[3:]}"


def _dates(read: Callable[[Any], Any], values: Sequence[Any]) -> Sequence[Any] | None:
    if set(map(type, values)) != {str}:
        return None
    are_right = are_danbooru_dates(values)
    try:
        return [value if is_right else read(value) for value, is_right in zip(values, are_right, strict=True)]
    except ValueError:
        return None


def _no_shortcut(values: Sequence[Any]) -> Sequence[Any] | None:  # noqa: ARG001 - one signature for all
    return None


def _wholes(values: Sequence[Any]) -> Sequence[Any] | None:
    kinds = set(map(type, values))
    if kinds <= {float, NoneType}:  # some tables store integers as DOUBLE, and a missing one as NaN
        numbers = [value for value in values if value is not None and not isnan(value)]
        is_plain = all(map(float.is_integer, numbers)) and max(map(abs, numbers), default=0) <= 2**53
        return (
            [None if value is None or isnan(value) else int(value) for value in values] if is_plain else None
        )
    known = [value for value in values if value is not None] if NoneType in kinds else values
    is_plain = kinds <= {int, NoneType} and (not known or (min(known) >= -(2**63) and max(known) < 2**63))
    return values if is_plain else None


def _positives(values: Sequence[Any]) -> Sequence[Any] | None:
    wholes = _wholes(values)
    is_plain = wholes is not None and min((value for value in wholes if value is not None), default=1) > 0
    return wholes if is_plain else None


def _post_ids(values: Sequence[Any]) -> Sequence[Any] | None:
    is_plain = set(map(type, values)) == {int} and min(values) >= 1 and max(values) < 2**63
    return values if is_plain else None


def _flags(values: Sequence[Any]) -> Sequence[Any] | None:
    is_plain = set(map(type, values)) <= {bool, NoneType}
    return list(map(_FLAGS.__getitem__, values)) if is_plain else None


def _texts(values: Sequence[Any]) -> Sequence[Any] | None:
    return values if set(map(type, values)) <= {str, NoneType} and "" not in values else None


def _md5s(values: Sequence[Any]) -> Sequence[Any] | None:
    texts = _texts(values)
    is_small = texts is not None and (joined := "".join(filter(None, texts))) == joined.lower()
    return texts if is_small else None


def _extensions(values: Sequence[Any]) -> Sequence[Any] | None:
    texts = _texts(values)
    return texts if texts is not None and _PLAIN_EXTENSIONS.issuperset(texts) else None


def _sources(values: Sequence[Any]) -> Sequence[Any] | None:
    return values if set(map(type, values)) == {str} else None


_PLAIN_EXTENSIONS: Final = {*EXTENSIONS, None}
_FLAGS: Final = {False: 0, True: 1, None: None}
_SHORTCUTS: Final[dict[Callable[[Any], Any], Callable[[Sequence[Any]], Sequence[Any] | None]]] = {
    _whole: _wholes,
    _positive: _positives,
    _post_id: _post_ids,
    _flag: _flags,
    _text: _texts,
    _md5: _md5s,
    _extension: _extensions,
    _source: _sources,
}
"""The functions that read all values of a batch, if they are plain, by the function that reads one of them."""
