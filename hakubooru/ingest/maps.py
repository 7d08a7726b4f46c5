"""Record maps: how the records of a published set become posts. Each is a table, and a user's own is the same as TOML."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from hakubooru.errors import InputError
from hakubooru.files import read_text
from hakubooru.nearest import nearest
from hakubooru.store.schema import Post
from hakubooru.store.sites import RATING_NUMBERS, RATINGS, TAG_TYPES, site_named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COLUMNS: Final = tuple(field.column_name for field in Post._meta.sorted_fields)  # noqa: SLF001 - peewee's documented name
"""The columns of `post`, in the order of a record's row."""

ALL: Final = "all"
"""The key of `tags` for tags whose type is not known."""
DATE_FORMS: Final = ("iso", "epoch", "ctime")
"""The ways to write a date: ISO 8601, seconds or milliseconds since 1970, and Gelbooru's `Fri Jan 20 12:19:14 -0600 2023`."""
ID_PATTERN: Final = r"(?:^|[/\\])(?:danbooru_)?0*([1-9][0-9]*)(?:[-_.][^/\\]*)?$"
"""The usual name of an image of a post: `ID.ext`, `danbooru_ID.ext`, `danbooru_ID_md5.ext`, `000ID-name.ext`."""

_Keys = tuple[str, ...]
_SHORT_RATINGS: Final = {
    **{name[0]: name for name in RATINGS},
    **{name: RATINGS[number] for name, number in RATING_NUMBERS.items()},
}


@dataclass(frozen=True, kw_only=True)
class RecordMap:
    """How the records of one published set become posts.

    A key names a value of a record; `media_asset.file_ext` is a key in an object, or a column of that name. Of several keys,
    the first that the records have is read.
    """

    name: str
    """What the records are, as it is printed."""
    site: str = "danbooru"
    """The site that the posts are of."""
    needs: _Keys = ()
    """The keys by which the records are recognised: all of them must be there."""
    lacks: _Keys = ()
    """The keys that the records must not have."""
    columns: Mapping[str, _Keys] = field(default_factory=dict)
    """The keys for each column of `post`; a column that is not named here is read from the key of its own name."""
    tags: Mapping[str, _Keys] = field(default_factory=dict)
    """The keys of tags, by type. `all` is for tags of every type; it gives the order of a post's tags."""
    separator: str = " "
    """The text between two tags of a text; lists need none."""
    blanks: bool = False
    """Whether the names of tags are written with blanks in place of underscores."""
    escaped: bool = False
    r"""Whether the names of tags are escaped as in HTML (`&#039;`) or for the webui (`\(`)."""
    texts: bool = False
    """Whether numbers and flags are written as text, such as "12" and "t"."""
    ratings: Mapping[str, str] = field(default_factory=lambda: _SHORT_RATINGS)
    """The rating, by Danbooru's name of it, for each word that the records use."""
    dates: str = "iso"
    """How dates are written: iso, epoch or ctime."""
    zone: str = ""
    """The time zone of dates that name none, such as UTC; without it, such a date is refused."""
    id_pattern: str = ""
    """The regular expression whose first group is the id of the post, where the key of `id` holds a path."""

    def keys_of(self, column: str) -> _Keys:
        """The keys for a column."""
        return self.columns.get(column, (column,))

    def fits(self, keys: set[str]) -> bool:
        """Whether records with these keys are of this set."""
        return keys.issuperset(self.needs) and keys.isdisjoint(self.lacks)

    def missing(self, keys: set[str]) -> str:
        """Which keys that no post can do without are not among these; empty if there are all."""
        ids = self.keys_of("id")
        tags = [key for candidates in self.tags.values() for key in candidates]
        if keys.isdisjoint(ids):
            return " or ".join(ids)
        return "" if not keys.isdisjoint(tags) else " or ".join(tags)


def read_map(path: Path) -> RecordMap:
    """Read a map of the user's own from a TOML file; its keys are the fields of `RecordMap`.

    Raises:
        InputError: the file cannot be read, or has a wrong key or value.
    """
    try:
        table = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    try:
        return _checked(table, f"the map {path.name}")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checked(table: dict[str, Any], name: str) -> RecordMap:
    fields = {field.name: field for field in dataclasses.fields(RecordMap)}
    values: dict[str, Any] = {"name": name}
    for key, value in table.items():
        if key not in fields:
            raise InputError(f"{key!r} is not a key of a map; {nearest(key, fields)}")
        values[key] = _value(key, value)
    if not values.get("tags"):
        raise InputError('[tags] is missing; name the key of the tags, such as all = "tag_string"')
    return RecordMap(**values)


def _value(key: str, value: Any) -> Any:
    match key:
        case "needs" | "lacks":
            return _keys(key, value)
        case "columns":
            return _tables(key, value, COLUMNS)
        case "tags":
            return _tables(key, value, (ALL, *TAG_TYPES))
        case "ratings":
            return {word: _choice("ratings", name, RATINGS) for word, name in _table(key, value).items()}
        case "dates":
            return _choice(key, value, DATE_FORMS)
        case "blanks" | "escaped" | "texts":
            if not isinstance(value, bool):
                raise InputError(f"{key} is {value!r}; it must be true or false")
        case _:
            if not isinstance(value, str) or (key == "separator" and not value):
                raise InputError(f"{key} is {value!r}; it must be text")
            _check_text(key, value)
    return value


def _check_text(key: str, value: str) -> None:
    if key == "site":
        site_named(value)
    if key == "zone":
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise InputError(
                f"zone is {value!r}; it must be a time zone such as UTC or America/New_York"
            ) from error
    if key == "id_pattern":
        import re  # noqa: PLC0415 - only a map with a pattern needs it

        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise InputError(f"id_pattern is not a regular expression: {error}") from error
        if groups != 1:
            raise InputError("id_pattern must have one group, around the id: such as '([0-9]+)[.]'")


def _choice(key: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise InputError(f"{key} has {value!r}; {nearest(value, choices)}")
    return str(value)


def _table(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{key} is {value!r}; it must be a table: write [{key}] and its keys below")
    return value


def _tables(key: str, value: object, choices: tuple[str, ...]) -> Mapping[str, _Keys]:
    return {
        _choice(key, name, choices): _keys(f"{key}.{name}", keys) for name, keys in _table(key, value).items()
    }


def _keys(name: str, value: object) -> _Keys:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InputError(f"{name} is {value!r}; it must be a key, or a list of keys")
    return tuple(keys)
