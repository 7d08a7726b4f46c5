"""A metadata database: one file, opened read-only unless asked, and the questions that can be put to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.errors import DatabaseFileError
from hakubooru.select.memory import CachedStore
from hakubooru.selection import Selection
from hakubooru.store.layout import GENERATION
from hakubooru.store.schema import RATINGS
from hakubooru.store.store import lay_out, warn_of_dates_in_utc
from hakubooru.store.tags import Tags

if TYPE_CHECKING:
    import os

    from hakubooru_migrations import Plan


def open_database(path: str | os.PathLike[str], writable: bool = False) -> Database:
    """Open a metadata database of the published layout; never creates or changes one.

    Args:
        path: the SQLite file.
        writable: open it for writing too. A change that a killed writer left half done is then rolled back.

    Raises:
        DatabaseFileError: the file is missing, damaged, truncated, or something else.
        OldGenerationError: it has an older layout, which `hakubooru db migrate` brings up to date.
        BusyError: another process holds it.
        UnfinishedWriteError: a killed writer left a change half done; the message says how to recover.
    """
    database = Database(Path(path), writable=writable)
    warn_of_dates_in_utc(database)
    return database


def create_database(path: str | os.PathLike[str]) -> Database:
    """Make an empty metadata database and open it for writing.

    Raises:
        DatabaseFileError: there is something at that path already, or no folder to put it in.
    """
    path = Path(path)
    try:
        # Exclusive creation: of two processes that create the same file, one is refused.
        path.open("xb").close()
    except FileExistsError as error:
        raise DatabaseFileError(
            f"{path} exists already; open it with hb.open, or choose another path"
        ) from error
    except OSError as error:
        raise DatabaseFileError(f"{path} cannot be made: {error.strerror}; choose another path") from error
    try:
        lay_out(path)
    except BaseException:
        path.unlink()
        raise
    return Database(path, writable=True)


def migrate_database(path: str | os.PathLike[str]) -> Plan:
    """Bring a metadata database of an older layout up to date, in place; interrupted, the same call goes on.

    Returns:
        what was done.

    Raises:
        DatabaseFileError: the file is missing, damaged, something else, or has no room beside it.
        BusyError: another process holds it.
    """
    from hakubooru_migrations import migrate  # noqa: PLC0415 - nothing else changes a layout

    return migrate(path)


class Database(CachedStore):
    """An open metadata database.

    Any thread may use it (each gets a connection of its own), and it can be sent to another process, which
    opens the file anew. Close it, or use it in a `with` statement.
    """

    @property
    def posts(self) -> Selection:
        """All posts; the selection that every other begins with."""
        return Selection(self)

    @property
    def tags(self) -> Tags:
        """The tags, by name."""
        return Tags(self)

    def info(self) -> DatabaseInfo:
        """What the file holds; scans the posts once, and meanwhile counts the relations by an index."""
        ends = "(SELECT MIN(id) FROM post), (SELECT MAX(id) FROM post)"
        by_rating = ", ".join(f"SUM(rating = {number})" for number in range(len(RATINGS)))
        with ThreadPoolExecutor(1) as meanwhile:
            relations = meanwhile.submit(self.scalar, "SELECT COUNT(*) FROM posttagrelation")
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


@dataclass(frozen=True, kw_only=True)
class DatabaseInfo:
    """What a metadata file holds."""

    generation: int
    """The layout, 1 to 4."""
    posts: int
    tags: int
    relations: int
    """Pairs of a post and a tag."""
    first_id: int | None
    """The smallest post id; None without posts."""
    last_id: int | None
    ratings: dict[str, int]
    """Posts by rating."""
    size_bytes: int
