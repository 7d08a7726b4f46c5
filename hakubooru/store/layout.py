"""Recognise a metadata file and its layout, and check that it can be opened.

The published files store no version. A generation is recognised by its tables and columns.
"""

from __future__ import annotations

import difflib
import sqlite3
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DatabaseFileError, OldGenerationError, UnfinishedWriteError
from hakubooru.store.schema import Post, PostTagRelation, Tag
from hakubooru.store.sqlite_errors import explain

if TYPE_CHECKING:
    from pathlib import Path

GENERATION: Final = 4
"""The generation that this package reads and writes: the layout published from June 2024 on."""

_FOREIGN: Final = 3
"""The generation whose tables Gelbooru-SQLite has."""

LAYOUT: Final = 3
"""The `PRAGMA user_version` of an up-to-date file; the published layout has 0.

1: the popularity of tags is counted, and tag aliases have a table. 2: whole numbers are stored as integers, and
dates are in Danbooru's time zone. 3: a value that no source knows is NULL, and the tables `about` and `tagimplication` may
be there.
"""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat2.html#the_database_header
_WAL_VERSION = 2


def sqlite_uri(path: Path, *, writable: bool) -> str:
    """The SQLite URI that opens an existing file and never creates one."""
    # To read a file in WAL mode, SQLite creates files beside it, which fails on a read-only disk. Opened as
    # immutable, the file needs none. `check_file` has checked that there is no log with content.
    mode = "mode=rw" if writable else "mode=ro&immutable=1" if _in_wal_mode(path) else "mode=ro"
    address = path.resolve().as_uri()
    if not address.startswith("file:///"):
        # A network share on Windows: SQLite needs the machine's name in the path, not as the host.
        address = address.replace("file://", "file:////", 1)
    return f"{address}?{mode}"


def unfinished_build(path: Path) -> Path:
    """The path of a database while `hakubooru db build` writes it."""
    return path.with_name(path.name + ".building")


def check_file(path: Path, *, writable: bool) -> None:
    """Check that a path is a complete SQLite file without an unfinished change.

    Raises:
        DatabaseFileError: the path is not a complete SQLite file.
        UnfinishedWriteError: the file is to be read, and has a write-ahead log with content beside it.
    """
    if path.is_dir():
        raise DatabaseFileError(f"{path} is a folder; name the database file in it")
    if not path.exists():
        raise DatabaseFileError(f"{path} does not exist; {_where_it_may_be(path)}")
    if not path.is_file():
        raise DatabaseFileError(f"{path} is not a regular file; name the database file")
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be read: {error.strerror}") from error
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise DatabaseFileError(f"{path} is not an SQLite file; {_what_it_is(header)}")
    # With a journal beside the file, the header may not match its length until SQLite rolls back.
    if not _journal(path).exists():
        _check_length(path, header)
    if writable:
        return
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise UnfinishedWriteError(_recovery(path, log))
    # A file in WAL mode is opened as immutable, and SQLite then ignores a journal.
    if _journal(path).exists() and _in_wal_mode(path):
        raise UnfinishedWriteError(_recovery(path, _journal(path)))


def _where_it_may_be(path: Path) -> str:
    building = unfinished_build(path)
    if building.exists():
        return f"{building.name} is an unfinished build of it: run the same `hakubooru db build` again to finish it"
    if near := _similar_names(path):
        return f"did you mean {near}?"
    return "check the path, or build a database with `hakubooru db build`"


def _what_it_is(header: bytes) -> str:
    if not header:
        return "it is empty: download it again, or build it with `hakubooru db build`"
    if header.startswith((b"\x1f\x8b", b"PK\x03\x04", b"(\xb5/\xfd", b"7z\xbc\xaf")):
        return "it is packed: unpack it first"
    if header.lstrip().startswith((b"{", b"[")):
        return "it looks like JSON: turn a dump into a database with `hakubooru db build`"
    if header.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: fetch the file itself with `git lfs pull`"
    return "name a metadata database such as danbooru2023.db"


def _check_length(path: Path, header: bytes) -> None:
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    # The page count is valid only if the change counter equals the "version valid for" number.
    declared = pages * page_size if header[24:28] == header[92:96] else 0
    size = path.stat().st_size
    if size < declared:
        raise DatabaseFileError(
            f"{path} is truncated: it has {size:,} bytes, and its header says {declared:,}; download or copy it again"
        )


def _in_wal_mode(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)[18:20] == bytes([_WAL_VERSION, _WAL_VERSION])


def _similar_names(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    return " or ".join(difflib.get_close_matches(path.name, names, n=2))


def _recovery(path: Path, leftover: Path) -> str:
    return (
        f"{path} has an unfinished change: a writer was killed, or is still running. SQLite needs {leftover.name} to "
        f"repair the file: keep both together. Run the interrupted command again, or open the file once with "
        f'hb.open("{path}", writable=True)'
    )


def read_layout(connection: sqlite3.Connection, path: Path) -> dict[str, set[str]]:
    """Read the names of a file's tables and their columns: columns by table.

    This is the first query on a file, so problems with the file show up here.

    Raises:
        BusyError: another process has locked the file.
        UnfinishedWriteError: a killed writer left a hot journal beside the file.
        DatabaseFileError: the file is damaged.
    """
    try:
        return columns_of_tables(connection)
    except sqlite3.DatabaseError as error:
        if _journal(path).exists() and "locked" not in str(error):
            raise UnfinishedWriteError(_recovery(path, _journal(path))) from error
        raise explain(path, error, DatabaseFileError(f"{path} cannot be opened: {error}")) from error


def columns_of_tables(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """The names of a file's tables and their columns, without SQLite's own tables: columns by table."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    columns = "SELECT name FROM pragma_table_info(?)"
    return {
        table: {column for (column,) in connection.execute(columns, [table])}
        for (table,) in tables
        if not table.startswith("sqlite_")
    }


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def recognise_generation(layout: dict[str, set[str]]) -> int | None:
    """The generation, 1 to 4, of a metadata file with these columns by table; None if it is not a metadata file."""
    post, tag = layout.get("post", set()), layout.get("tag", set())
    if not {"id", "rating", "fav_count", "created_at"} <= post or not _columns(Tag) <= tag:
        return None
    if "tag_list_general" in post:
        return 1
    if not _columns(PostTagRelation) <= layout.get("posttagrelation", set()):
        return None
    if "tag_list" in post:
        return 2
    missing = _columns(Post) - post
    if not missing:
        return GENERATION
    return 3 if missing == {"updated_at"} else None


def refuse_foreign(path: Path, layout: dict[str, set[str]], generation: int | None) -> None:
    """Raise for AngelBottomless/Gelbooru-SQLite, whose third generation has captions, other dates and other addresses.

    Raises:
        DatabaseFileError: the file is that; it says how a database is made from it.
    """
    if generation == _FOREIGN and "caption" in layout["post"]:
        raise DatabaseFileError(
            f"{path} is Gelbooru-SQLite (its posts have the column caption), whose dates and tags are written in another way: "
            f"build a database from it, `hakubooru db build {path} --out gelbooru.db`"
        )


def check_generation(path: Path, layout: dict[str, set[str]]) -> None:
    """Check that a file has the current layout.

    Raises:
        OldGenerationError: the file has an older layout.
        DatabaseFileError: the file is not a metadata database, or is Gelbooru-SQLite.
    """
    generation = recognise_generation(layout)
    refuse_foreign(path, layout, generation)
    if generation is None:
        tables = ", ".join(sorted(layout)) or "none"
        raise DatabaseFileError(
            f"{path} is not a Danbooru metadata database: it must have the tables post, tag and posttagrelation with "
            f"their columns, and it has the tables: {tables}; name another file"
        )
    if generation < GENERATION:
        raise OldGenerationError(
            f"{path} has the layout of generation {generation}, and hakubooru reads generation {GENERATION}: "
            f"run `hakubooru db migrate {path}` (or migrate a copy)"
        )


def _columns(model: type[Post | Tag | PostTagRelation]) -> set[str]:
    return {field.column_name for field in model._meta.sorted_fields}  # noqa: SLF001 - peewee's documented name
