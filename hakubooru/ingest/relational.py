"""Read the three tables of KBlueLeaf's files, `post`, `tag` and `posttagrelation`, as posts with their tags.

The relations are too many for the memory, and stand in no order that all files share. So they are first written to
temporary files, one for each range of post ids, and read back range by range.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import OrderedDict
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.errors import DatabaseFileError, DumpError
from hakubooru.ingest.batches import Rows
from hakubooru.ingest.tabular import (
    columns_by_table,
    parquet_columns,
    read_parquet,
    read_table,
)
from hakubooru.progress import progress
from hakubooru.store.about import About
from hakubooru.store.reader import Reader
from hakubooru.store.sites import DANBOORU, TAG_TYPES, Site
from hakubooru.store.store import BUSY_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from hakubooru.arrays import Values

    Tables: TypeAlias = "ParquetTables | ConnectedTables"
    """The three tables, from whichever files they are."""

POST, TAG, RELATION = "post", "tag", "posttagrelation"
TAGS_KEY: Final = "tags of posttagrelation"
"""The key of a post's tags: a table of types by name."""

_NEEDED: Final = {
    POST: {"id", "rating", "created_at"},
    TAG: {"id", "name", "type"},
    RELATION: {"id", "post_id", "tag_id"},
}
_TAG_COLUMNS: Final = ("id", "name", "type")
_RANGE_BITS: Final = 15
"""How many ids are in a range, as a power of two: to sort their relations takes some 45 MB."""
_RANGES_IN_MEMORY: Final = 2
_LARGEST_ID: Final = 2**31
_PAIRS: Final = 200_000
_TYPE_NUMBERS: Final = frozenset(range(len(TAG_TYPES)))


def are_complete(by_table: dict[str, set[str]]) -> bool:
    """Whether the tables with these columns are the three."""
    return all(columns <= by_table.get(table, set()) for table, columns in _NEEDED.items())


def site_key(site: Site) -> str:
    """The key that posts of another site than Danbooru have, in a database that hakubooru has built."""
    return f"posts of {site.name}"


def role_of(columns: set[str]) -> str | None:
    """Which of the three tables a file with these columns is; None if it is none of them."""
    if {"post_id", "tag_id"} <= columns:
        return RELATION
    if {"name", "type", "popularity"} <= columns:
        return TAG
    has_tags = any(column.startswith("tag") for column in columns)
    return POST if {"bit_flags", "rating", "created_at"} <= columns and not has_tags else None


class TagRows(Rows):
    """Rows of the table of tags, which come before the posts: id, name, and the number of the type in the file."""


@dataclass
class ParquetTables:
    """Three Parquet files."""

    path: Path
    files: dict[str, Path]

    def keys(self) -> set[str]:
        """The keys of a post: the columns of its table, and `TAGS_KEY`."""
        from pyarrow import parquet  # noqa: PLC0415 - heavy, and only this form needs it

        return {*parquet_columns(parquet.read_schema(self.files[POST])), TAGS_KEY}

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Rows]:
        """The rows of a table, in the order of the file."""
        for rows, _ in read_parquet(self.files[table], str(self.files[table]), lambda _: columns):
            yield rows

    def pairs(self) -> Iterator[tuple[Values, ...]]:
        """The posts and tags of the relations, in the order of the file, (R,) each."""
        from pyarrow import parquet  # noqa: PLC0415 - heavy, and only this form needs it

        with parquet.ParquetFile(self.files[RELATION], pre_buffer=False, buffer_size=2**20) as file:
            yield from map(_numbers, file.iter_batches(_PAIRS, columns=["post_id", "tag_id"]))


@dataclass
class ConnectedTables:
    """Three tables of an open DuckDB or SQLite file."""

    path: Path
    file: Path
    """The file on this disk; `path` may be a place inside an archive."""
    connection: Any
    about: About = field(default_factory=About)
    """What a file that hakubooru has built says about itself."""

    def keys(self) -> set[str]:
        """The keys of a post, and for another site than Danbooru `site_key` of it, without what the sources of the file lacked."""
        columns = columns_by_table(self.connection)[POST] - self.about.lacking
        site = self.about.site
        return {*columns, TAGS_KEY, *([] if site == DANBOORU else [site_key(site)])}

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Rows]:
        """The rows of a table, in the order of the file."""
        yield from read_table(self.connection, table, columns, str(self.path))

    def pairs(self) -> Iterator[tuple[Values, ...]]:
        """The posts and tags of the relations, in the order of the file, (R,) each."""
        query = f"SELECT post_id, tag_id FROM {RELATION}"
        if isinstance(self.connection, sqlite3.Connection):
            # As arrays, 250 million relations take two minutes less than as tuples.
            try:
                with closing(Reader(self.file, timeout=BUSY_TIMEOUT)) as reader:
                    yield from reader.numbers(query, table=RELATION, rows=_PAIRS)
            except DatabaseFileError as error:
                raise DumpError(str(error).replace(str(self.file), str(self.path), 1)) from error
        else:
            yield from map(_numbers, self.connection.sql(query).to_arrow_reader(_PAIRS))


@contextmanager
def posts_with_tags(tables: Tables, columns: Sequence[str]) -> Iterator[Iterator[Rows]]:
    """Join the three tables in a `with` statement: batches of posts with a column of their tags, types by name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hakubooru-")))
        names = _TagNames(tables)
        relations = Relations(folder)
        with progress(desc=f"{tables.path.name}: relations", unit=" pairs", unit_scale=True) as bar:
            for posts, tags in tables.pairs():
                relations.add(posts, tags)
                bar.update(len(posts))
        yield chain(_tag_rows(tables), _joined(tables, columns, names, relations))


def _tag_rows(tables: Tables) -> Iterator[Rows]:
    for rows in tables.rows(TAG, _TAG_COLUMNS):
        yield TagRows(rows.columns, rows.count, rows.first, rows.name)


def _joined(tables: Tables, columns: Sequence[str], names: _TagNames, relations: Relations) -> Iterator[Rows]:
    for rows in tables.rows(POST, columns):
        rows.columns[TAGS_KEY] = names.of([relations.of(post_id) for post_id in rows.column("id") or ()])
        yield rows


class _TagNames:
    """The names and types of tags by id, as arrays: as objects, a million tags would take 250 MB."""

    def __init__(self, tables: Tables) -> None:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it

        ids, types, names = [], [], []
        for rows in tables.rows(TAG, _TAG_COLUMNS):
            _check_tags(rows)
            ids.append(np.array(rows.column("id"), np.int64))
            types.append(np.array(rows.column("type"), np.int8))
            names.append(rows.texts("name"))
        # The last one has no name, and is what the ids without a tag find.
        last = np.array([_LARGEST_ID], np.int64), np.zeros(1, np.int8), pa.array([None], pa.string())
        self._ids = np.concatenate([*ids, last[0]])
        order = np.argsort(self._ids, kind="stable")
        self._ids = self._ids[order]
        self._types = np.concatenate([*types, last[1]])[order]
        self._names = pa.concat_arrays([*names, last[2]]).take(pa.array(order))

    def of(self, posts: Sequence[Values]) -> list[dict[str, int]]:
        """The types of tags by name, for the ids of each post's tags; an id without a tag is left out."""
        ids = np.concatenate(posts)
        places = np.searchsorted(self._ids, ids)
        places[self._ids[places] != ids] = len(self._ids) - 1
        pairs = zip(self._names.take(places).to_pylist(), self._types[places].tolist(), strict=True)
        tags = [dict(islice(pairs, len(post))) for post in posts]
        for some in tags:
            some.pop(None, None)
        return tags


def _check_tags(rows: Rows) -> None:
    names, types, ids = (rows.column(name) or () for name in ("name", "type", "id"))
    for place, (name, kind, number) in enumerate(zip(names, types, ids, strict=True)):
        is_valid = isinstance(name, str) and type(kind) is type(number) is int and kind in _TYPE_NUMBERS
        if not (is_valid and 0 <= number < _LARGEST_ID):
            raise DumpError(
                f"{rows.name}, {TAG}, row {rows.first + place:,}: a tag must have an id, a name and a type from 0 to "
                f"{len(TAG_TYPES) - 1}, and this has {number!r}, {name!r} and {kind!r}; correct it, or download it again"
            )


class Relations:
    """The tags of posts in temporary files, one for each range of post ids."""

    def __init__(self, folder: Path, range_bits: int = _RANGE_BITS) -> None:
        """Begin without relations.

        Args:
            folder: an empty folder for the files.
            range_bits: how many ids are in a range, as a power of two.
        """
        self._folder = folder
        self._bits = range_bits
        self._ids = 1 << range_bits
        """How many ids are in a range."""
        self._loaded: OrderedDict[int, tuple[Values, Values]] = OrderedDict()

    def add(self, posts: Values, tags: Values) -> None:
        """Add pairs of a post and a tag, (R,) each; the tags of a post keep the order in which they come."""
        if posts.dtype.kind not in "iu" or tags.dtype.kind not in "iu":
            raise DumpError(f"{RELATION} has an id that is not a whole number; download it again")
        if min(posts.min(), tags.min()) < 0 or max(posts.max(), tags.max()) >= _LARGEST_ID:
            raise DumpError(
                f"{RELATION} has an id that is not from 0 to {_LARGEST_ID - 1:,}; download it again"
            )
        ranges = posts >> self._bits
        for number in np.unique(ranges):
            is_of_range = ranges == number
            pairs = np.stack([posts[is_of_range], tags[is_of_range]], axis=1).astype(np.int32)
            with (self._folder / str(number)).open("ab") as file:
                file.write(pairs.tobytes())

    def of(self, post_id: object) -> Values:
        """The ids of a post's tags, (T,); none for what is no id."""
        if not isinstance(post_id, int | float) or not 0 < post_id < _LARGEST_ID:
            return np.empty(0, np.int32)
        number = int(post_id) >> self._bits
        if number not in self._loaded:
            self._loaded[number] = self._load(number)
            if len(self._loaded) > _RANGES_IN_MEMORY:
                self._loaded.popitem(last=False)
        ends, tags = self._loaded[number]
        place = int(post_id) & (self._ids - 1)
        ids: Values = tags[ends[place] : ends[place + 1]]
        return ids

    def _load(self, number: int) -> tuple[Values, Values]:
        """Read a range: where the tags of each of its posts end, (ids + 1,), and the tags, (R,) int32."""
        path = self._folder / str(number)
        pairs = np.fromfile(path, np.int32).reshape(-1, 2) if path.exists() else np.empty((0, 2), np.int32)
        posts = pairs[:, 0] & (self._ids - 1)
        order = np.argsort(posts, kind="stable")
        ends = np.zeros(self._ids + 1, np.int64)
        np.cumsum(np.bincount(posts, minlength=self._ids), out=ends[1:])
        return ends, pairs[order, 1]


def _numbers(batch: Any) -> tuple[Values, Values]:
    return batch.column(0).to_numpy(zero_copy_only=False), batch.column(1).to_numpy(zero_copy_only=False)
