"""Record maps: how the records of a published set become posts. Each is a table, and a user's own is the same as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - read at run time, as the kind of a key
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from hakubooru import settings
from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.store.schema import Post
from hakubooru.store.sites import RATING_NUMBERS, RATINGS, TAG_TYPES, site_named

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS: Final = tuple(field.column_name for field in Post._meta.sorted_fields)  # noqa: SLF001 - peewee's documented name
"""The columns of `post`, in the order of a record's row."""

ALL: Final = "all"
"""The key of `tags` for tags whose type is not known."""
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
    dates: Literal["iso", "epoch", "ctime"] = "iso"
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
    table = settings.read_toml(path, InputError, "a TOML file")
    try:
        return _checked(settings.read(RecordMap, {"name": f"the map {path.name}"} | table, ""))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checked(by: RecordMap) -> RecordMap:
    """A map with its texts and tables checked; the one key of a column or of a type becomes a list."""
    if not by.tags:
        raise InputError('[tags] is missing; name the key of the tags, such as all = "tag_string"')
    if not by.separator:
        raise InputError('separator is empty; write the text between two tags, such as ","')
    for name in by.ratings.values():
        _check_choice("ratings", name, RATINGS)
    site_named(by.site)
    if by.zone:
        try:
            ZoneInfo(by.zone)
        except (KeyError, ValueError, OSError) as error:
            raise InputError(
                f"zone is {by.zone!r}; it must be a time zone such as UTC or America/New_York"
            ) from error
    if by.id_pattern:
        try:
            groups = re.compile(by.id_pattern).groups
        except re.error as error:
            raise InputError(f"id_pattern is not a regular expression: {error}") from error
        if groups != 1:
            raise InputError("id_pattern must have one group, around the id: such as '([0-9]+)[.]'")
    columns, tags = _keys("columns", by.columns, COLUMNS), _keys("tags", by.tags, (ALL, *TAG_TYPES))
    return replace(by, columns=columns, tags=tags)


def _keys(place: str, table: Mapping[str, Any], choices: tuple[str, ...]) -> dict[str, _Keys]:
    """The keys of a table's columns or types, of which each may be one key or a list of keys."""
    for name, keys in table.items():
        _check_choice(place, name, choices)
        if not isinstance(keys, str) and not (
            isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        ):
            raise InputError(f"{place}.{name} = {settings.toml(keys)}; write a key, or a list of keys")
    return {name: (keys,) if isinstance(keys, str) else tuple(keys) for name, keys in table.items()}


def _check_choice(place: str, name: object, choices: tuple[str, ...]) -> None:
    if name not in choices:
        raise InputError(f"{place} has {name!r}; {nearest(str(name), choices)}")
