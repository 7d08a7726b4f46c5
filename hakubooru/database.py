"""The metadata database: one SQLite file, opened read-only by default, and the ways to read it."""

from __future__ import annotations

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from peewee import SchemaManager, SqliteDatabase

from hakubooru.errors import DatabaseFileError, InputError
from hakubooru.recognise import GENERATION, LAYOUT, check_file, check_generation, read_layout, sqlite_uri
from hakubooru.schema import MODELS, RATINGS, Post, Tag
from hakubooru.select.memory import Memory
from hakubooru.select.selection import Selection
from hakubooru.sql import id_list, id_text
from hakubooru.sqlite_errors import explained
from hakubooru.storage import check_numbers, has_dates_in_utc
from hakubooru.tags import Tags

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from hakubooru.arrays import Ids

BUSY_TIMEOUT: Final = 5.0
"""How many seconds to wait while another process has locked the file."""


def open_database(path: str | os.PathLike[str], writable: bool = False) -> Database:
    """Open a metadata database of the published layout. The file is never created, and not changed by opening.

    Args:
        path: the SQLite file.
        writable: open it for writing too. An unfinished change of a killed writer is then rolled back.

    Raises:
        DatabaseFileError: the file is missing, damaged or truncated, or it is not a metadata database.
        OldGenerationError: the file has an older layout; `hakubooru db migrate` brings it up to date.
        BusyError: another process has locked the file.
        UnfinishedWriteError: a writer was killed in the middle of a change; the message says how to recover.
    """
    database = Database(Path(path), writable=writable)
    if has_dates_in_utc(database.connection()):
        warnings.warn(
            f"{path} stores its dates in UTC, so some posts of New Year's Eve count as the next year's: run "
            f"`hakubooru db migrate {path}` to convert them to Danbooru's own time zone",
            stacklevel=2,
        )
    return database


def create_database(path: str | os.PathLike[str]) -> Database:
    """Create an empty metadata database and open it for writing.

    Raises:
        DatabaseFileError: the path exists already, or its folder does not exist.
    """
    path = Path(path)
    try:
        # Exclusive creation: of two processes that create the same file, one is refused.
        path.open("xb").close()
    except FileExistsError as error:
        raise DatabaseFileError(
            f"{path} already exists; open it with hb.open, or choose another path"
        ) from error
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be created: {error.strerror}; choose another path") from error
    try:
        lay_out(path)
    except BaseException:
        path.unlink()
        raise
    return Database(path, writable=True)


def lay_out(path: Path, also: Sequence[str] = ()) -> None:
    """Create the tables and indices in an empty file, in one transaction.

    Args:
        path: an empty file. A file that has tables already is not changed.
        also: further statements to run in the same transaction.
    """
    connection = SqliteDatabase(sqlite_uri(path, writable=True), uri=True, timeout=BUSY_TIMEOUT)
    with explained(path), contextlib.closing(connection), connection.atomic("EXCLUSIVE"):
        if connection.get_tables():
            return
        for model in MODELS:
            SchemaManager(model, connection).create_all(safe=False)
        for statement in (f"PRAGMA user_version = {LAYOUT}", *also):
            connection.execute_sql(statement)


class Database:
    """An open metadata database.

    Any thread may use it: each thread gets its own connection. It can be sent to another process, which opens
    the file again. Close it with `close`, or use it in a `with` statement.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self.path = path
        self.writable = writable
        check_file(path, writable=writable)
        self._memory = Memory(self)
        self.peewee = _Connections(self, sqlite_uri(path, writable=writable))
        try:
            check_generation(path, read_layout(self.connection(), path))
            with explained(path):
                check_numbers(path, self.connection())
            if writable:
                # A file in WAL mode has a log beside it, and cannot be opened on a read-only disk.
                self.scalar("PRAGMA journal_mode = DELETE")
        except BaseException:
            self.close()
            raise

    @property
    def posts(self) -> Selection:
        """All posts of the file, as a `Selection` to narrow down."""
        return Selection(self)

    @property
    def memory(self) -> Memory:
        """A cache of columns and recent selections. It is emptied when the file changes."""
        if not self._memory.is_valid():
            self._memory = Memory(self)
        return self._memory

    @property
    def tags(self) -> Tags:
        """The tags of the file, by name: `db.tags["solo"]`."""
        return Tags(self)

    def connection(self) -> sqlite3.Connection:
        """The SQLite connection of the current thread.

        Raises:
            InputError: the database was closed.
        """
        connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
        return connection

    def execute(self, query: Any) -> Iterator[Any]:
        """Run a peewee query on this file and iterate over its rows; each row refers to this database.

        The query is copied first. Peewee keeps the rows of a query, and would return those of another file.
        """
        with explained(self.path):
            for row in query.clone().iterator(self.peewee):
                if isinstance(row, MODELS):
                    row._owner = self  # noqa: SLF001 - rows are ours
                yield row

    def compile(self, query: Any) -> tuple[str, list[Any]]:
        """Compile a peewee query to SQL and its parameters."""
        sql, parameters = self.peewee.get_sql_context().sql(query).query()
        return sql, list(parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run an SQL statement and return all its rows.

        Raises:
            BusyError: another process has locked the file.
            DatabaseFileError: the file is damaged.
        """
        with explained(self.path):
            return self.connection().execute(sql, parameters).fetchall()

    def scalar(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run an SQL statement and return the first column of its first row."""
        return self.rows(sql, parameters)[0][0]

    def tags_of_posts(self, ids: Iterable[int]) -> dict[int, list[Tag]]:
        """The tags of each post, by post id, read with two queries. Posts without tags are left out.

        Tags stand in the order of the file's relations. A tag that the relations list twice is returned once.
        """
        pairs = self.rows(
            "SELECT post_id, tag_id FROM posttagrelation WHERE post_id IN (SELECT value FROM json_each(?)) ORDER BY post_id, id",
            [id_text(ids)],
        )
        query = Tag.select().where(Tag.id.in_(id_list({tag_id for _, tag_id in pairs})))
        tags = {tag.id: tag for tag in self.execute(query)}
        by_post: dict[int, list[Tag]] = {}
        for post_id, tag_id in dict.fromkeys(pairs):
            if tag_id in tags:
                by_post.setdefault(post_id, []).append(tags[tag_id])
        return by_post

    def posts_with_tags(self, ids: Ids) -> list[Post]:
        """Read posts and their tags with three queries, in the order of `ids`. Unknown ids are left out."""
        posts = {post.id: post for post in self.execute(Post.select().where(Post.id.in_(id_list(ids))))}
        tags = self.tags_of_posts(posts)
        for post_id, post in posts.items():
            post._tags = tags.get(post_id, [])  # noqa: SLF001 - rows are ours
        return [posts[post_id] for post_id in ids.tolist() if post_id in posts]

    @contextlib.contextmanager
    def bind(self) -> Iterator[Self]:
        """Bind peewee's models to this file inside a `with` statement, so that `Post.get_by_id(1)` reads it.

        The models are bound for the whole process. Do not bind two files, or use two threads, at the same time.
        """
        with self.peewee.bind_ctx(list(MODELS)):
            yield self

    def info(self) -> DatabaseInfo:
        """Count what the file contains. This scans the posts once; the relations are counted by an index."""
        ends = "(SELECT MIN(id) FROM post), (SELECT MAX(id) FROM post)"
        by_rating = ", ".join(f"SUM(rating = {number})" for number in range(len(RATINGS)))
        with ThreadPoolExecutor(1) as executor:
            relations = executor.submit(self.scalar, "SELECT COUNT(*) FROM posttagrelation")
            ((posts, first, last, *ratings),) = self.rows(f"SELECT COUNT(*), {ends}, {by_rating} FROM post")
        return DatabaseInfo(
            generation=GENERATION,
            posts=posts,
            tags=self.scalar("SELECT COUNT(*) FROM tag"),
            relations=relations.result(),
            first_id=first,
            last_id=last,
            ratings={name: count or 0 for name, count in zip(RATINGS, ratings, strict=True)},
            size_bytes=self.path.stat().st_size,
        )

    def close(self) -> None:
        """Close the connections of all threads. Later queries raise `InputError`."""
        self.peewee.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path.absolute(), self.writable)

    def __repr__(self) -> str:
        return f"hakubooru.open({str(self.path)!r}{', writable=True' if self.writable else ''})"


def _reopen(path: Path, writable: bool) -> Database:
    return Database(path, writable=writable)


@dataclass(frozen=True, kw_only=True)
class DatabaseInfo:
    """Counts of what a metadata file contains."""

    generation: int
    """The number of the file's layout, 1 to 4."""
    posts: int
    """How many posts the file has."""
    tags: int
    """How many tags the file has."""
    relations: int
    """How many pairs of a post and a tag the file has."""
    first_id: int | None
    """The smallest post id; None if the file has no posts."""
    last_id: int | None
    """The largest post id; None if the file has no posts."""
    ratings: dict[str, int]
    """How many posts have each rating, by its name."""
    size_bytes: int
    """The size of the file in bytes."""


class _Connections(SqliteDatabase):
    """Peewee's database with one connection for each thread; any thread can close all of them."""

    def __init__(self, owner: Database, uri: str) -> None:
        self.owner = owner
        self.is_shut = False
        self._opened: list[sqlite3.Connection] = []
        super().__init__(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)

    def _connect(self) -> sqlite3.Connection:
        if self.is_shut:
            raise InputError(f"{self.owner!r} was closed; open it again")
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # peewee's hook, missing from its stubs
        self._opened.append(connection)
        return connection

    def close_all(self) -> None:
        self.is_shut = True
        self.close()
        for connection in self._opened:
            connection.close()
