"""Check records in batches and convert them to the columns of the file, as a record map says."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from hakubooru.errors import DumpError
from hakubooru.ingest.fields import DATES, kind_of, readers
from hakubooru.ingest.maps import ALL, COLUMNS
from hakubooru.ingest.post_tags import UNTYPED, NameNumbers, PostTags, tags_of_dicts, tags_of_texts
from hakubooru.moments import danbooru_dates
from hakubooru.store.sites import TAG_TYPES, site_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from hakubooru.ingest.batches import Batch, Values
    from hakubooru.ingest.maps import RecordMap
    from hakubooru.store.sites import Site

_OLDEST: Final = datetime.min.replace(tzinfo=UTC)
_RATING: Final = COLUMNS.index("rating")
_CREATED, _UPDATED = COLUMNS.index("created_at"), COLUMNS.index("updated_at")


@dataclass(frozen=True, slots=True)
class Record:
    """A checked post of a dump."""

    row: tuple[Any, ...]
    """The values of the post, in the order of `COLUMNS`; None for what the source does not know."""
    tags: dict[str, int]
    """The type of each tag, in the order of the post's tags. It is `UNTYPED` if no record of the batch has a type for the
    tag, and the greatest if they have several."""

    @property
    def id(self) -> int:
        """The id of the post."""
        number: int = self.row[0]
        return number

    @property
    def updated(self) -> datetime:
        """When the site last changed the post; the oldest moment if that is not known."""
        return instant(self.row[_UPDATED])

    def precedence(self) -> tuple[datetime, str, list[str]]:
        """The sort key of the records of one post: the greatest is kept, which is the newest.

        Equally new records are compared by their values, so that the order of dumps does not matter.
        """
        return self.updated, repr(self.row), list(self.tags)


@dataclass(frozen=True, slots=True)
class Posts:
    """A batch of checked posts, as columns."""

    columns: list[Values]
    """The values of each column of `COLUMNS`, (P,) each; None for what the source does not know."""
    tags: PostTags
    """The tags of the posts."""

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, places: Sequence[int]) -> Posts:
        """Some of the posts, in the order that is given."""
        columns: list[Values] = [[values[place] for place in places] for values in self.columns]
        return Posts(columns, self.tags.take(places))

    def record(self, place: int) -> Record:
        """One of the posts."""
        return Record(tuple(values[place] for values in self.columns), self.tags.of(place))

    def ratings(self) -> Values:
        """The number of the rating of each post."""
        return self.columns[_RATING]

    def with_ratings(self, numbers: Values) -> Posts:
        """The posts with other ratings."""
        return Posts([*self.columns[:_RATING], numbers, *self.columns[_RATING + 1 :]], self.tags)


class RecordReader:
    """A reader of the batches of one source.

    Args:
        by: the map of the records.
        vocabulary: the numbers of the names of tags, which all sources of a build share.
    """

    def __init__(self, by: RecordMap, vocabulary: NameNumbers) -> None:
        self.map = by
        self._vocabulary = vocabulary
        self._readers = {of_texts: readers(COLUMNS, by, of_texts=of_texts) for of_texts in (False, True)}
        self._keys: dict[str, str] = {}
        self._site = site_named(by.site)
        self._is_checked = False
        self._types = [
            (UNTYPED, ALL),
            *((number, name) for number, name in enumerate(TAG_TYPES) if name in by.tags),
        ]

    def read(self, batch: Batch) -> tuple[Posts, dict[int, str]]:
        """Convert a batch: the posts that are valid, and the reason for each place of the others."""
        reasons: dict[int, str] = {}
        columns = [self._column(batch, column, reasons) for column in COLUMNS]
        columns[_UPDATED] = [
            updated if updated is not None else created
            for updated, created in zip(columns[_UPDATED], columns[_CREATED], strict=True)
        ]
        posts = Posts(columns, self._tags(batch, reasons))
        if reasons:
            posts = posts.take([place for place in range(len(batch)) if place not in reasons])
        return posts, reasons

    def choose(self, keys: set[str]) -> list[str]:
        """The keys of a table that are to be read."""
        columns = [*(self.map.keys_of(column) for column in COLUMNS), *self.map.tags.values()]
        first = (next((key for key in candidates if key in keys), None) for candidates in columns)
        return list(dict.fromkeys(key for key in first if key is not None))

    def columns_seen(self) -> frozenset[str]:
        """The columns that a record had a key for, so far."""
        # Where nothing else says when a post was changed, it is when it was made.
        also = {"updated_at"} if "created_at" in self._keys else set()
        return frozenset(self._keys) | also

    def values(self, batch: Batch, column: str) -> Values | None:
        """The values of a column of the file as the source has them; None if the source lacks it."""
        key = self._key(batch, column)
        return batch.column(key) if key is not None else None

    def _key(self, batch: Batch, column: str) -> str | None:
        keys = self.map.keys_of(column)
        if column not in self._keys:
            available = batch.keys()
            key = next((key for key in keys if key in available), None)
            if key is None:
                return None
            self._keys[column] = key  # so that a hidden post does not get the md5 of its media asset
        return self._keys[column]

    def _column(self, batch: Batch, column: str, reasons: dict[int, str]) -> Values:
        read = self._readers[self.map.texts or batch.is_text][column]
        key = self._key(batch, column)
        if key is not None and column in DATES and self.map.dates == "iso":
            moments = batch.moments(key)
            if moments is not None:
                return danbooru_dates(moments)
        values = batch.column(key) if key is not None else None
        if values is None:
            if column == "id":
                reasons.update(dict.fromkeys(range(len(batch)), "id is missing"))
            return [None] * len(batch)
        plain = read.many(values)
        if plain is not None:
            return plain
        try:
            return list(map(read.one, values))
        except ValueError:
            return [
                _read_or_refuse(read.one, value, place, column, reasons) for place, value in enumerate(values)
            ]

    def _tags(self, batch: Batch, reasons: dict[int, str]) -> PostTags:
        keys = {
            number: key
            for number, name in self._types
            if (key := next(filter(batch.has, self.map.tags.get(name, ())), None)) is not None
        }
        if not self._is_checked:
            self._check_separator(batch, keys.values())
        texts = self._texts(batch, keys)
        if texts:
            return tags_of_texts(texts, self.map.separator, self._vocabulary)
        return tags_of_dicts(list(self._read_tags(batch, keys, reasons)), self._vocabulary)

    def _texts(self, batch: Batch, keys: Mapping[int, str]) -> list[tuple[int, pa.StringArray]]:
        """The types and texts of tags, if each post has tags, and all are texts that only have to be cut; else empty."""
        import pyarrow.compute as pc  # noqa: PLC0415 - takes a while, and only tags as texts need it

        if self.map.blanks or self.map.escaped:
            return []
        columns = []
        for number, key in keys.items():
            texts = batch.texts(key)
            if texts is None or pc.any(pc.starts_with(texts, "[")).as_py():
                return []
            columns.append((number, texts))
        is_typed = ALL not in self.map.tags
        return columns if is_typed or any(texts.null_count == 0 for _, texts in columns) else []

    def _read_tags(
        self, batch: Batch, keys: Mapping[int, str], reasons: dict[int, str]
    ) -> Iterator[dict[str, int]]:
        columns = [(number, key, batch.column(key) or ()) for number, key in keys.items()]
        is_typed = ALL not in self.map.tags
        for place in range(len(batch)):
            tags: dict[str, int] = {}
            has_tags = is_typed and bool(columns)
            # Greater types come later and overwrite smaller ones.
            for number, key, values in columns:
                value = values[place]
                if value is None:
                    continue
                has_tags = True
                try:
                    tags |= self._names(value, number)
                except ValueError as error:
                    reasons.setdefault(place, f"{key} {error}")
            tags.pop("", None)
            if not has_tags:
                reasons.setdefault(place, f"{next(iter(self.map.tags.values()))[0]} is missing")
            yield tags

    def _names(self, value: Any, number: int) -> dict[str, int]:
        """The names of a value with their type: a text, a list of texts, Danbooru's tag objects, or types by name."""
        if type(value) is str:
            names = _json_list(value) or self.plain(value).split(self.map.separator)
        elif isinstance(value, dict):
            return {self.plain(name): kind for name, kind in value.items()} if self.map.escaped else value
        elif isinstance(value, list) and all(isinstance(name, str) for name in value):
            names = value
        elif isinstance(value, list) and all(isinstance(tag, dict) for tag in value):
            return _typed(value, self._site)
        else:
            raise ValueError(
                f"is {kind_of(value)}, and must be tags separated by {_shown(self.map.separator)}"
            )
        if self.map.blanks:
            names = [name.strip().replace(" ", "_") for name in names]
        elif names is value and any(" " in name for name in names):
            raise ValueError("has names with spaces; `blanks = true` of a --map reads them")
        return dict.fromkeys(names, number)

    def plain(self, text: str) -> str:
        """The name of a tag without escapes, if the map says that the source has such."""
        return html.unescape(text).replace("\\(", "(").replace("\\)", ")") if self.map.escaped else text

    def _check_separator(self, batch: Batch, keys: Iterable[str]) -> None:
        """Check in the first records that tags separated by spaces are not separated by commas: no name has a comma.

        Raises:
            DumpError: most of the values of a column have commas.
        """
        self._is_checked = True
        for key in keys if self.map.separator == " " else ():
            values = batch.column(key) or ()
            texts = [value for value in values if type(value) is str and not value.startswith("[")]
            if 2 * sum(", " in text for text in texts) > len(texts):
                raise DumpError(
                    f"{batch.where(0).name} has commas between the tags of {key}, and {self.map.name} have spaces: describe its keys "
                    'with --map map.toml, which has separator = ","'
                )


def _json_list(text: str) -> list[str] | None:
    """The tags of a list that stands as JSON in a text, as some tables have it; None for any other text."""
    if not text.startswith(('["', "['")):
        return None
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("is a list that is not JSON, and must be tags or a list of JSON") from None
    return names if all(isinstance(name, str) for name in names) else None


def _typed(tags: list[dict[str, Any]], site: Site) -> dict[str, int]:
    """The types of tags by name, of objects with `name` and `category`."""
    types = {}
    for tag in tags:
        name = tag.get("name")
        if not isinstance(name, str):
            raise ValueError(f"has a tag whose name is {kind_of(name)}, and must be text")  # noqa: TRY004 - one error for a wrong value
        types[name] = site.type_of_category(tag.get("category"))
    return types


def instant(text: str | None) -> datetime:
    """Read a date of the file as a datetime; a date that cannot be read counts as the oldest."""
    try:
        moment = datetime.fromisoformat(text) if text is not None else _OLDEST
    except ValueError:
        return _OLDEST
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(separator: str) -> str:
    return {" ": "spaces", ",": "commas", ", ": "commas"}.get(separator, repr(separator))


def _read_or_refuse(
    read: Callable[[Any], Any], value: Any, place: int, column: str, reasons: dict[int, str]
) -> Any:
    try:
        return read(value)
    except ValueError as error:
        reasons.setdefault(place, f"{column} {error}")
        return None
