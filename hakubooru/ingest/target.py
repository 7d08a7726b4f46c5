"""The file that a build writes: an existing database, or a new one that is renamed when it is complete."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from peewee import SchemaManager

from hakubooru.errors import DatabaseFileError
from hakubooru.files import real_path
from hakubooru.ingest.maps import COLUMNS
from hakubooru.store.about import (
    About,
    count_unknown,
    read_about,
    recorded_about,
    site_of_addresses,
    write_about,
)
from hakubooru.store.column_types import has_dates_in_utc
from hakubooru.store.layout import unfinished_build
from hakubooru.store.schema import PostTagRelation
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.store import Store, lay_out
from hakubooru.store.writing import count_popularity, hold, ticking, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from hakubooru.ingest.tag_ids import TagIds
    from hakubooru.store.sites import Site

_UNDER_CONSTRUCTION: Final = (
    "DROP INDEX posttagrelation_tag_id",
    "CREATE TABLE unfinished_build (dumps TEXT NOT NULL)",
)


class Target:
    """The open file of a build, locked against other processes until it is closed.

    An unfinished file has an extra table `unfinished_build`. It lacks the index of relations by tag, which is several
    times faster to create at the end. The last transaction drops the table and creates the index.
    """

    def __init__(self, database: Store) -> None:
        self._database = database
        self._relations = SchemaManager(PostTagRelation, database.peewee)
        self.connection = database.connection()
        with explained(database.path):
            hold(self.connection)

    def is_unfinished(self) -> bool:
        """Whether the build of the file is unfinished."""
        return self._database.has_table("unfinished_build")

    def is_empty(self) -> bool:
        """Whether the file has no posts."""
        return not self._database.scalar("SELECT EXISTS (SELECT 1 FROM post)")

    def begin(self, dumps: Sequence[Path]) -> None:
        """Record the dumps of a new file, or check that an unfinished file has the same dumps.

        Raises:
            DatabaseFileError: the unfinished build has other dumps.
        """
        names = sorted(str(path.resolve()) for path in dumps)
        for (text,) in self._database.rows("SELECT dumps FROM unfinished_build"):
            if json.loads(text) != names:
                path = self._database.path
                raise DatabaseFileError(
                    f"{path} is an unfinished build of {', '.join(json.loads(text))}: run that command again to finish "
                    f"it, or delete {path.name} to start again"
                )
            return
        self.connection.execute("INSERT INTO unfinished_build VALUES (?)", [json.dumps(names)])

    def check_dates(self) -> None:
        """Check that the dates of a file are as a build writes them.

        Raises:
            DatabaseFileError: they are in UTC, as earlier versions wrote them.
        """
        if has_dates_in_utc(self.connection):
            path = self._database.path
            raise DatabaseFileError(
                f"{path} stores its dates in UTC, and new posts would have Danbooru's time zone: run `hakubooru db migrate "
                f"{path}` first, which converts them"
            )

    def check_site(self, site: Site) -> None:
        """Check that a file that has posts is of this site.

        Raises:
            DatabaseFileError: the file has posts of another site.
        """
        about = recorded_about(self.connection) or About(site_of_addresses(self.connection))
        if about.site != site and not self.is_empty():
            raise DatabaseFileError(
                f"{self._database.path} has posts of {about.site.name}, and these are of {site.name}: ids of two sites "
                "are not alike; choose another --out, and export both files into one set"
            )

    def finish(self, tag_ids: TagIds, absent: Collection[str], site: Site, *, in_order: bool) -> About:
        """Complete the file in one transaction: types of tags, index of relations, popularity, and unknown values.

        Returns what the file says about itself from now on.

        Args:
            tag_ids: the ids and types of the tags.
            absent: the columns that no record of this build had.
            site: the site of the posts.
            in_order: renumber tags and relations of a new file, so that ids do not depend on the order of dumps.
        """
        with ticking(self.connection, "indexing"), transaction(self.connection):
            tag_ids.settle_known()
            if in_order and self.is_unfinished():
                _put_in_order(self.connection, self._relations, tag_ids.largest_known)
            self._relations.create_indexes(safe=True)
            count_popularity(self.connection)
            about = self._count_unknown(absent, site)
            self.connection.execute("DROP TABLE IF EXISTS unfinished_build")
        return about

    def _count_unknown(self, absent: Collection[str], site: Site) -> About:
        before = recorded_about(self.connection)
        if self.is_unfinished():
            lacking = absent
        else:
            lacking = (before or read_about(self.connection)).lacking.intersection(absent)
        about = count_unknown(self.connection, COLUMNS, lacking, site)
        if about != before:
            write_about(self.connection, about)
        return about


@contextlib.contextmanager
def open_target(out: Path, dumps: Sequence[Path], busy_timeout: float) -> Iterator[Target]:
    """Open the file of a build for a `with` statement: an existing database, a new one, or an unfinished one.

    A new database is written to `OUT.building`, so that a file named `OUT` is always complete. It is renamed when the
    `with` block ends without an error. If the block fails before the first post, the new file is removed.

    Args:
        out: the path of the database.
        dumps: the files that it is built from; an unfinished file names them.
        busy_timeout: how many seconds to wait while another process has locked the file.

    Raises:
        DatabaseFileError: the file is not a metadata database, or cannot be created.
        BusyError: another process has locked the file.
    """
    out = real_path(out)
    building = unfinished_build(out)
    if not out.exists():
        with _open_new(building, out, busy_timeout) as target:
            is_unfinished = target.is_unfinished()
            if is_unfinished:
                target.begin(dumps)
                with explained(building):
                    yield target
        # A build that was killed just before this line has left a complete file under the other name.
        building.replace(out)
        if is_unfinished:
            return
    with Store(out, writable=True, busy_timeout=busy_timeout) as database, explained(out):
        yield Target(database)


@contextlib.contextmanager
def _open_new(building: Path, out: Path, busy_timeout: float) -> Iterator[Target]:
    try:
        building.touch()
    except OSError as error:
        raise DatabaseFileError(f"{out} cannot be created: {error.strerror}; choose another path") from error
    lay_out(building, _UNDER_CONSTRUCTION, busy_timeout)
    is_empty = False
    try:
        with Store(building, writable=True, busy_timeout=busy_timeout) as database:
            target = Target(database)
            try:
                yield target
            except BaseException:
                is_empty = target.is_empty()
                raise
    finally:
        if is_empty:
            building.unlink(missing_ok=True)


def _put_in_order(connection: sqlite3.Connection, relations: SchemaManager, largest_known: int) -> None:
    """Number the tags by name and the relations by post, so that ids do not depend on the order of dumps.

    The caller then has to create the indices of relations.

    Args:
        connection: a new file, whose tag ids nobody uses yet, in a transaction of the caller.
        relations: the schema manager that creates the table of relations.
        largest_known: the largest id of Danbooru's own; ids up to it are not changed.
    """
    for statement in (
        "CREATE TEMP TABLE numbered (old INTEGER PRIMARY KEY, new INTEGER, name TEXT, type INTEGER, popularity INTEGER)",
        (
            f"INSERT INTO numbered SELECT id, {largest_known} + row_number() OVER (ORDER BY name), name, type, popularity "
            f"FROM tag WHERE id > {largest_known}"
        ),
        f"DELETE FROM tag WHERE id > {largest_known}",
        "INSERT INTO tag (id, name, type, popularity) SELECT new, name, type, popularity FROM numbered ORDER BY new",
        "ALTER TABLE posttagrelation RENAME TO unordered",
    ):
        connection.execute(statement)
    relations.create_table(safe=False)
    connection.execute(
        "INSERT INTO posttagrelation (post_id, tag_id) SELECT post_id, ifnull(new, tag_id) FROM unordered "
        "LEFT JOIN numbered ON old = tag_id ORDER BY post_id, unordered.id"
    )
    connection.execute("DROP TABLE unordered")
    connection.execute("DROP TABLE numbered")
