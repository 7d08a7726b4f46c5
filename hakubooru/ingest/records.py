"""Check a post of Danbooru's API and convert it to the columns of the file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hakubooru.moments import NoZoneError, danbooru_date
from hakubooru.store.schema import RATINGS, TAG_TYPES, Post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COLUMNS: Final = tuple(field.column_name for field in Post._meta.sorted_fields)  # noqa: SLF001 - peewee's documented name
"""The columns of `post`, in the order of a record's row."""

TAG_COLUMNS: Final = tuple(f"tag_string_{name}" for name in TAG_TYPES)
"""The keys of a post's tags by type, separated by spaces; the index of a key is the number of the type in the file."""

UNTYPED: Final = -1
"""The type of a tag that a record lists without its type."""

RATING_LETTERS: Final = {name[0]: number for number, name in enumerate(RATINGS)}
_SAFE: Final = RATING_LETTERS["s"]


class BadRecordError(ValueError):
    """A record is not a valid post; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Record:
    """A checked post of a dump."""

    row: tuple[Any, ...]
    """The values of the post, in the order of `COLUMNS`."""
    updated: datetime
    """When Danbooru last changed the post."""
    tags: dict[str, int]
    """The type of each tag, in the order of the post's tags. It is `UNTYPED` if the record has no type for the tag, and
    the greatest if it has several."""

    @property
    def id(self) -> int:
        """The id of the post."""
        number: int = self.row[0]
        return number

    def precedence(self) -> tuple[datetime, str, list[str]]:
        """The sort key of the records of one post: the greatest is kept, which is the newest.

        Equally new records are compared by their values, so that the order of dumps does not matter.
        """
        return self.updated, repr(self.row), list(self.tags)


def read_record(value: object, *, old_ratings: bool = False) -> Record:
    """Check a post in the form of Danbooru's API.

    Args:
        value: the decoded entry of a dump; keys without a column in the file are ignored.
        old_ratings: the rating s means safe, as before May 2022, and becomes general.

    Raises:
        BadRecordError: the value is not a post, or lacks a field that the file needs.
    """
    if not isinstance(value, dict):
        raise BadRecordError(f"the record is {_kind(value)}, and must be an object with the fields of a post")
    if value.get("updated_at") is None:
        value = value | {"updated_at": value.get("created_at")}
    get = value.get
    try:
        row = [read(get(column)) for column, read in _READERS]
    except ValueError as error:
        raise BadRecordError(_first_refusal(value)) from error
    if old_ratings and row[_RATING_PLACE] == _SAFE:
        row[_RATING_PLACE] = 0
    return Record(tuple(row), _instant(row[-1]), _tags(value))


def instant(text: str) -> datetime:
    """Read a date of the file as a datetime; a date that cannot be read counts as the oldest."""
    try:
        return _instant(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _first_refusal(value: Mapping[str, Any]) -> str:
    for column, read in _READERS:
        try:
            read(value.get(column))
        except ValueError as error:
            return f"{column} {error}"
    raise AssertionError("only called where a column is refused")


def _tags(value: Mapping[str, Any]) -> dict[str, int]:
    tags: dict[str, int] = {}
    has_tags = False
    # Greater types come later and overwrite smaller ones.
    for type_number, column in ((UNTYPED, "tag_string"), *enumerate(TAG_COLUMNS)):
        text = value.get(column)
        if isinstance(text, str):
            has_tags = True
            tags |= dict.fromkeys(text.split(" "), type_number)
        elif text is not None:
            raise BadRecordError(f"{column} is {_kind(text)}, and must be tags separated by spaces")
    if not has_tags:
        raise BadRecordError("tag_string is missing")
    tags.pop("", None)
    return tags


def _whole(value: object) -> int:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)  # some Parquet dumps store integers as DOUBLE
    raise ValueError(_refusal(value, "a whole number"))


def _post_id(value: object) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError(f"is {number}, and must be a positive number")
    return number


def _optional_whole(value: object) -> int | None:
    # Some tables write NaN for a missing value; only NaN differs from itself.
    return None if value is None or value != value else _whole(value)  # noqa: PLR0124


def _whole_or_zero(value: object) -> int:
    return value if type(value) is int and abs(value) < 2**63 else _optional_whole(value) or 0


def _flag(value: object) -> int:
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    if value in (0, 1):  # some Parquet dumps store flags as numbers
        return 1 if value else 0
    raise ValueError(_refusal(value, "true or false"))


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError(_refusal(value, "text"))


def _optional_text(value: object) -> str | None:
    return _text(value) if value or not isinstance(value, str | None) else None


def _text_or_empty(value: object) -> str:
    return _optional_text(value) or ""


def _date(value: object) -> str:
    expected = "a date such as 2005-05-23T23:35:31.000-04:00"
    try:
        if isinstance(value, datetime | str):
            return danbooru_date(value)
    except NoZoneError as error:
        raise ValueError(f"is {str(value)!r}, without a time zone, and must be {expected}") from error
    except ValueError:
        pass
    raise ValueError(_refusal(value, expected))


def _rating(value: object) -> int:
    if value == "safe":
        return _SAFE
    if isinstance(value, str):
        if value in RATING_LETTERS:
            return RATING_LETTERS[value]
        if value in RATINGS:
            return RATINGS.index(value)
    raise ValueError(_refusal(value, "one of g, s, q, e"))


def _refusal(value: object, expected: str) -> str:
    if value is None:
        return "is missing"
    shown = f"is {value!r}" if isinstance(value, str | int | float) else f"is {_kind(value)}"
    return f"{shown[:100]}, and must be {expected}"


def _kind(value: object) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), "nothing" if value is None else f"of the type {type(value).__name__}")


_ODD_READERS: Final[dict[str, Callable[[object], Any]]] = {
    "id": _post_id,
    "created_at": _date,
    "source": _text_or_empty,
    "md5": _optional_text,  # Danbooru itself has a malformed one
    "parent_id": _optional_whole,
    "pixiv_id": _optional_whole,
    "image_width": _whole,
    "image_height": _whole,
    "file_ext": _text,
    "rating": _rating,
    "score": _whole,
    "fav_count": _whole,
    "file_url": _optional_text,
    "large_file_url": _optional_text,
    "preview_file_url": _optional_text,
    "updated_at": _date,
}
_READERS: Final = tuple(
    (column, _ODD_READERS.get(column, _flag if column.startswith(("has_", "is_")) else _whole_or_zero))
    for column in COLUMNS
)
_RATING_PLACE: Final = COLUMNS.index("rating")
