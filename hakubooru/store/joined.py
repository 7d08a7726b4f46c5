"""Files of values by post id, joined to a database: scores, labels and texts that others publish.

A file is read once into an SQLite file of the user's cache, which the connections of a database attach. So values are
looked up, filtered and sorted there, and not held in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import distinct, id_text
from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.progress import progress
from hakubooru.store.expressions import Guarded
from hakubooru.store.schema import Post
from hakubooru.store.value_cache import (
    BLOCK_TYPE,
    NUMBER,
    columns_of,
    is_number,
    make,
    place_of,
    quoted,
    uri_of,
)
from hakubooru.store.value_files import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peewee import Context

    from hakubooru.arrays import Ids

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
"""The form of the name under which a file is joined."""
_UNSEARCHABLE: Final = re.compile(r"[^\w.]")
"""The characters in the name of a column that have no place in a search."""


@dataclass(frozen=True)
class Joined:
    """A joined file: its columns, and where its values are."""

    name: str
    """The name under which it is joined."""
    source: str
    """The path of the file, or of the folder of files."""
    sha256: str
    """The hash of the file; of a folder, of the names and hashes of its files."""
    file: Path
    """The SQLite file with the values."""
    columns: Mapping[str, str]
    """The kind of each column of values, `number` or `text`, by its name."""

    @classmethod
    def open(cls, name: str, path: str | os.PathLike[str]) -> Joined:
        """Read a file of values, or find what was read of it before.

        Args:
            name: the name of the values in searches and captions: small letters, digits and `_`.
            path: a Parquet, CSV or JSON-lines file with a column `id` or `post_id`, a tar of `ID.txt`, or a folder of
                them.

        Raises:
            InputError: the name has another form, the file cannot be read, an id is doubled or is none, or there are
                no values.
            DestinationError: the cache cannot be written.
        """
        if not NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot name joined values; write small letters, digits and _, as in silva"
            )
        if not isinstance(path, str | os.PathLike):
            raise InputError(
                f"joined values are read from a file, not from a {type(path).__name__}; write them to one first, such as "
                f'table.to_parquet("{name}.parquet"), and join its path'
            )
        source = Path(path)
        files = files_of(source)
        sha256 = _hash(source, files)
        file = place_of(sha256)
        columns = columns_of(file)
        if columns is None:
            make(file, source, files)
            columns = columns_of(file)
            assert columns is not None
        return cls(name, str(source), sha256, file, columns)

    @property
    def schema(self) -> str:
        """The name of the file in SQL."""
        return f"joined_{self.sha256[:16]}"

    def column(self, name: str | None = None) -> JoinedColumn:
        """A column of values as an expression, such as `silva.column("score") > 0.6`; unknown where a post has none.

        Args:
            name: the column; it may be left out if there is only one.

        Raises:
            InputError: there is no such column, or several and no name.
        """
        if name is None and len(self.columns) == 1:
            name = next(iter(self.columns))
        if name is None:
            raise InputError(f"{self.name} has several columns; name one of {', '.join(self.columns)}")
        if name not in self.columns:
            raise InputError(f"{self.name} has no column {name!r}; {nearest(name, self.columns)}")
        return JoinedColumn(self, name)

    def fields(self) -> dict[str, JoinedColumn]:
        """All columns by the names that they have in searches: `silva.score`, and `silva` for the only one or the `score`.

        A column `Fine Score` has two names: `silva.fine score`, for captions, and `silva.fine_score`, which a search can have.
        If two columns would share the second, neither gets it.
        """
        columns = {f"{self.name}.{name.lower()}": self.column(name) for name in self.columns}
        words = [_UNSEARCHABLE.sub("_", name) for name in columns]
        unique = {
            word: columns[name] for word, name in zip(words, columns, strict=True) if words.count(word) == 1
        }
        main = next(iter(self.columns)) if len(self.columns) == 1 else "score"
        return unique | columns | ({self.name: self.column(main)} if main in self.columns else {})

    def values(self, connection: sqlite3.Connection, ids: Ids, column: str | None = None) -> list[Any]:
        """Look up the values of some posts, in the order of `ids`: numbers or texts, None where a post has none.

        Args:
            connection: a connection of the database that the file is joined to.
            ids: some thousand posts, (N,) int64.
            column: the column; it may be left out if there is only one.
        """
        name = quoted(self.column(column).name)
        sql = f"SELECT id, {name} FROM {self.schema}.rows WHERE id IN (SELECT value FROM json_each(?))"
        values = dict(connection.execute(sql, [id_text(ids)]))
        return [values.get(post_id) for post_id in ids.tolist()]

    def numbers(
        self, connection: sqlite3.Connection, column: str | None = None
    ) -> tuple[Ids, np.ndarray[Any, np.dtype[np.float64]]]:
        """All values of a column of numbers: ids, (N,) int64, ascending, and values, (N,) float64.

        Raises:
            InputError: the column is text.
        """
        name = self.column(column).name
        if self.columns[name] != NUMBER:
            raise InputError(f"{self.name}.{name} is text, and numbers were asked for; name another column")
        sql = (
            f"SELECT id, {quoted(name)} FROM {self.schema}.rows WHERE {quoted(name)} IS NOT NULL ORDER BY id"
        )
        pairs = np.fromiter(connection.execute(sql), np.dtype([("id", np.int64), ("value", np.float64)]))
        return pairs["id"].copy(), pairs["value"].copy()

    def first_text(self, column: str) -> tuple[int, str]:
        """The first post whose value in a column of texts is not a number, or else the first with a value, and the value."""
        name = quoted(column)
        sql = f"SELECT id, {name} FROM rows WHERE {name} IS NOT NULL ORDER BY id"
        with closing(sqlite3.connect(uri_of(self.file), uri=True)) as connection:
            first: tuple[int, str] = connection.execute(sql).fetchone()
            return next((row for row in connection.execute(sql) if not is_number(row[1])), first)

    def count(self, connection: sqlite3.Connection, ids: Ids) -> int:
        """Count the posts among some, (N,) int64, that have a row. The values are not read."""
        wanted, count = distinct(ids), 0
        for (block,) in connection.execute(f"SELECT ids FROM {self.schema}.blocks ORDER BY first"):
            known = np.frombuffer(block, BLOCK_TYPE)
            some = wanted[np.searchsorted(wanted, known[0]) : np.searchsorted(wanted, known[-1], "right")]
            count += int(np.count_nonzero(known[np.searchsorted(known, some)] == some))
        return count

    def attach(self, connection: sqlite3.Connection) -> None:
        """Make the values known to a connection.

        Raises:
            InputError: ten files are joined already.
        """
        try:
            connection.execute(f"ATTACH ? AS {self.schema}", [uri_of(self.file)])
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.source} cannot be joined: {error}; at most ten files can be joined"
            ) from error


JOINED_SQL: Final = re.compile(r'\(SELECT "(?:[^"]|"")*" FROM \S+\.rows WHERE id = ')
"""How the SQL of a joined column begins."""


class JoinedColumn(Guarded):
    """A joined column as an expression over posts; NULL where a post has no value."""

    def __init__(self, joined: Joined, name: str) -> None:
        self.joined = joined
        self.name = name

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers; else they are texts."""
        return self.joined.columns[self.name] == NUMBER

    def value_of(self, post: str) -> str:
        """The SQL of a post's value; `post` is the SQL of the post's id."""
        return f"{self._select}{post})"

    @property
    def _select(self) -> str:
        return f"(SELECT {quoted(self.name)} FROM {self.joined.schema}.rows WHERE id = "

    def __sql__(self, context: Context) -> Context:
        context.literal(self._select).sql(Post.id).literal(")")
        return context


def _hash(source: Path, files: list[Path]) -> str:
    digests = []
    with progress(
        total=sum(file.stat().st_size for file in files), desc=source.name, unit="B", unit_scale=True
    ) as bar:
        for file in files:
            with file.open("rb") as stream:
                digest = hashlib.sha256()
                while block := stream.read(2**22):
                    digest.update(block)
                    bar.update(len(block))
            digests.append((file, digest.hexdigest()))
    if source.is_file():
        return digests[0][1]
    names = "".join(f"{file.relative_to(source).as_posix()}\t{digest}\n" for file, digest in digests)
    return hashlib.sha256(names.encode()).hexdigest()
