"""The open metadata file: its connections, SQL statements, and rows of posts and tags."""

from __future__ import annotations

import contextlib
import os
import warnings
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from peewee import SchemaManager, SqliteDatabase

from hakubooru.arrays import id_text, narrow
from hakubooru.errors import InputError
from hakubooru.store.about import ABOUT_TABLE, read_about, recorded_about
from hakubooru.store.column_types import check_numbers, has_dates_in_utc
from hakubooru.store.joined import Joined, JoinedColumn
from hakubooru.store.layout import LAYOUT, check_file, check_generation, read_layout, sqlite_uri
from hakubooru.store.reader import ROWS, THREADS, Reader
from hakubooru.store.schema import MODELS, RATINGS, Post, Tag, id_list
from hakubooru.store.sqlite_errors import SQLITE_ERRORS, explained, raise_explained

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.about import About

BUSY_TIMEOUT: Final = 5.0
"""How many seconds to wait while another process has locked the file, by default."""


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a metadata file as a `Store`, without selections; raises the errors of `hakubooru.open`."""
    store = Store(Path(path))
    warn_of_dates_in_utc(store)
    return store


def warn_of_dates_in_utc(store: Store) -> None:
    """Warn the caller's caller if a file stores its dates in UTC."""
    if has_dates_in_utc(store.connection()):
        warnings.warn(
            f"{store.path} stores its dates in UTC, so some posts of New Year's Eve count as the next year's: run "
            f"`hakubooru db migrate {store.path}` to convert them to Danbooru's own time zone",
            stacklevel=3,
        )


def check_open(database: object, call: str) -> None:
    """Check that the argument of a call is an open database, not its path.

    Raises:
        InputError: it is none.
    """
    if not isinstance(database, Store):
        path = database if isinstance(database, str | os.PathLike) else "posts.db"
        raise InputError(f"{call}() takes an open database: write {call}(hb.open({os.fspath(path)!r}))")


def lay_out(path: Path, also: Sequence[str] = (), busy_timeout: float = BUSY_TIMEOUT) -> None:
    """Create the tables and indices in an empty file, in one transaction.

    Args:
        path: an empty file. A file that has tables already is not changed.
        also: further statements to run in the same transaction.
        busy_timeout: how many seconds to wait while another process has locked the file.
    """
    connection = SqliteDatabase(sqlite_uri(path, writable=True), uri=True, timeout=busy_timeout)
    with explained(path), contextlib.closing(connection), connection.atomic("EXCLUSIVE"):
        if connection.get_tables():
            return
        for model in MODELS:
            SchemaManager(model, connection).create_all(safe=False)
        for statement in (ABOUT_TABLE, f"PRAGMA user_version = {LAYOUT}", *also):
            connection.execute_sql(statement)


class Store:
    """An open metadata file; `Database` adds selections and tags.

    Any thread may use it: each thread gets its own connection. It can be sent to another process, which opens
    the file again. Close it with `close`, or use it in a `with` statement.
    """

    def __init__(self, path: Path, *, writable: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self.writable = writable
        self.busy_timeout = busy_timeout
        """How many seconds to wait while another process has locked the file."""
        self.joined: dict[str, Joined] = {}
        """The files of values that are joined, by name."""
        self.joined_columns: dict[str, JoinedColumn] = {}
        """The columns of joined files, by their names in searches."""
        check_file(path, writable=writable)
        self.peewee = _Connections(self, sqlite_uri(path, writable=writable))
        self._reader = Reader(path, timeout=busy_timeout)
        try:
            layout = read_layout(self.connection(), path)
            check_generation(path, layout)
            with explained(path):
                about = recorded_about(self.connection())
                if about is not None:
                    self.about = about
                check_numbers(path, self.connection())
            if writable:
                # A file in WAL mode has a log beside it, and cannot be opened on a read-only disk.
                self.scalar("PRAGMA journal_mode = DELETE")
        except BaseException:
            self.close()
            raise

    @cached_property
    def about(self) -> About:
        """The site of the posts, and which values are not known. A file that does not say it is scanned when it is first asked.

        Raises:
            BusyError: another process has locked the file.
        """
        with explained(self.path):
            return read_about(self.connection())

    def connection(self) -> sqlite3.Connection:
        """The SQLite connection of the current thread.

        Raises:
            InputError: the database was closed.
        """
        connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
        return connection

    @property
    def reader(self) -> Reader:
        """What reads columns of the file as NumPy arrays. It does not see the changes of a transaction.

        Raises:
            InputError: the database was closed, or this thread has changed it in a transaction that is not complete.
        """
        if self.connection().in_transaction:
            raise InputError(
                f"{self.path} has a transaction that is not complete, and columns are read by another connection, which "
                "does not see its changes: end the transaction first"
            )
        return self._reader

    def join(self, name: str, path: str | os.PathLike[str]) -> Joined:
        """Join a file of values by post id, such as scores or texts; searches and captions then know it by its name.

        The file is read once into the user's cache, where it is found by its hash. Posts without a row have no value.

        Args:
            name: the name of the values: small letters, digits and `_`.
            path: a Parquet, CSV or JSON-lines file with a column `id` or `post_id`, a tar of `ID.txt`, or a folder of
                them.

        Raises:
            InputError: the file cannot be read, an id is doubled, or another file has the name.
            DestinationError: the user's cache cannot be written.
        """
        joined = Joined.open(name, path)
        other = self.joined.get(name, joined)
        if other.sha256 != joined.sha256:
            raise InputError(f"{name} is the name of {other.source} already; choose another name for {path}")
        self.attach(joined)
        return self.joined[name]

    def unjoin(self, name: str) -> None:
        """Forget a joined file, if there is one of the name; searches and captions do not know it any more."""
        self.joined.pop(name, None)
        self._name_columns()

    def attach(self, *files: Joined) -> None:
        """Make joined files known to all connections."""
        for joined in files:
            is_new = all(other.schema != joined.schema for other in self.joined.values())
            self.joined.setdefault(joined.name, joined)
            if is_new:
                self.peewee.attach_joined(joined)
        self._name_columns()

    def _name_columns(self) -> None:
        self.joined_columns = {
            name: column for file in self.joined.values() for name, column in file.fields().items()
        }

    def execute(self, query: Any) -> Iterator[Any]:
        """Run a peewee query on this file and iterate over its rows; each row refers to this database.

        The query is copied first. Peewee keeps the rows of a query, and would return those of another file.
        """
        with explained(self.path):
            for row in query.clone().iterator(self.peewee):
                if isinstance(row, MODELS):
                    row._owner = self  # noqa: SLF001 - rows are ours
                yield row

    def compile(self, query: Any, *, among: str | None = None) -> tuple[str, list[Any]]:
        """Compile a peewee query to SQL and its parameters.

        Args:
            query: the query.
            among: the only posts that count, as JSON; conditions on tags then look up the tags of these.
        """
        sql, parameters = self.peewee.get_sql_context(among=among).sql(query).query()
        return sql, list(parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run an SQL statement and return all its rows.

        Raises:
            BusyError: another process has locked the file.
            DatabaseFileError: the file is damaged.
        """
        try:
            return self.connection().execute(sql, parameters).fetchall()
        except SQLITE_ERRORS as error:
            raise_explained(self.path, error)

    def scalar(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run an SQL statement and return the first column of its first row."""
        return self.rows(sql, parameters)[0][0]

    def has_table(self, name: str) -> bool:
        """Whether the file has a table of a name."""
        return bool(self.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = ?", [name]))

    def ends(self, table: str) -> tuple[int, int]:
        """The smallest and the largest row id of a table; 1 and 0 for a table without rows."""
        # Two subqueries: SQLite reads MIN and MAX from the ends of a table only if each stands alone.
        sql = f"SELECT ifnull((SELECT MIN(id) FROM {table}), 1), ifnull((SELECT MAX(id) FROM {table}), 0)"
        first, last = self.rows(sql)[0]
        return first, last

    def halves(self, table: str) -> list[tuple[int, int]]:
        """The ranges of row ids that threads read at the same time: the end of the one before, and its own."""
        first, last = self.ends(table)
        edges = [first - 1 + (last + 1 - first) * place // THREADS for place in range(THREADS + 1)]
        return list(pairwise(edges))

    def scan(
        self, table: str, columns: str, *, rows: int = ROWS, narrowed: bool = False
    ) -> Iterator[tuple[int, tuple[Values, ...]]]:
        """Iterate over columns of whole numbers of a table, each half of its rows read by a thread of its own.

        Gives pieces: the number of the half, and the columns, (R,) each. The pieces of a half come in the order of ids.

        Args:
            table: a table with row ids.
            columns: the SQL of the columns.
            rows: how many neighbouring rows a piece has.
            narrowed: whether the threads also give each column the type of the fewest bytes.
        """
        sql = f"SELECT {columns} FROM {table} WHERE id > ? AND id <= ? ORDER BY id"
        reader = self.reader

        def half(number: int, ids: tuple[int, int]) -> Iterator[tuple[int, tuple[Values, ...]]]:
            for piece in reader.numbers(sql, ids, table=table, rows=rows):
                yield number, tuple(map(narrow, piece)) if narrowed else piece

        return reader.in_parallel([half(*numbered) for numbered in enumerate(self.halves(table))])

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
        names = dict(zip(RATINGS, self.about.site.rating_names, strict=True))
        for post_id, post in posts.items():
            post.rating = names.get(post.rating, post.rating)
            post._tags = tags.get(post_id, [])  # noqa: SLF001 - rows are ours
        return [posts[post_id] for post_id in ids.tolist() if post_id in posts]

    @contextlib.contextmanager
    def bind(self) -> Iterator[Self]:
        """Bind peewee's models to this file inside a `with` statement, so that `Post.get_by_id(1)` reads it.

        The models are bound for the whole process. Do not bind two files, or use two threads, at the same time.
        """
        with self.peewee.bind_ctx(list(MODELS)):
            yield self

    def close(self) -> None:
        """Close the connections of all threads. Later queries raise `InputError`."""
        self._reader.close()
        self.peewee.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        kept = self.path.absolute(), self.writable, self.busy_timeout, tuple(self.joined.values())
        return _reopen, (type(self), *kept)

    def __repr__(self) -> str:
        return f"hakubooru.open({str(self.path)!r}{', writable=True' if self.writable else ''})"


class PostSet(Protocol):
    """A set of posts of one file, on which captions and exports work; its ids are computed on demand, as a `Selection` does."""

    @property
    def database(self) -> Store:
        """The open metadata file."""
        ...

    def to_ids(self) -> Ids:
        """Compute the ids of the posts, (N,) int64."""
        ...


def _reopen(
    kind: type[Store], path: Path, writable: bool, busy_timeout: float, joined: tuple[Joined, ...]
) -> Store:
    store = kind(path, writable=writable, busy_timeout=busy_timeout)
    store.attach(*joined)
    return store


class _Connections(SqliteDatabase):
    """Peewee's database with one connection for each thread; any thread can close all of them."""

    def __init__(self, owner: Store, uri: str) -> None:
        self.owner = owner
        self.is_shut = False
        self._opened: list[sqlite3.Connection] = []
        super().__init__(uri, uri=True, timeout=owner.busy_timeout, check_same_thread=False)

    def _connect(self) -> sqlite3.Connection:
        if self.is_shut:
            raise InputError(f"{self.owner!r} was closed; open it again")
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc] # peewee's hook, missing from its stubs
        for schema in {joined.schema: joined for joined in self.owner.joined.values()}.values():
            schema.attach(connection)
        self._opened.append(connection)
        return connection

    def attach_joined(self, joined: Joined) -> None:
        for connection in self._opened:
            # A file that was forgotten stays attached: another thread may be reading it.
            if all(name != joined.schema for _, name, _ in connection.execute("PRAGMA database_list")):
                joined.attach(connection)

    def close_all(self) -> None:
        self.is_shut = True
        self.close()
        for connection in self._opened:
            connection.close()
