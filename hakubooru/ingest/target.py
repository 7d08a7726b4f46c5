"""The file that a build writes: an existing one, or one beside that becomes it when it is whole."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from peewee import SchemaManager

from hakubooru.errors import DatabaseFileError
from hakubooru.files import real_path
from hakubooru.ingest.order import put_in_order
from hakubooru.store.layout import unfinished_build
from hakubooru.store.schema import PostTagRelation
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.store import Store, lay_out
from hakubooru.store.writing import count_popularity, hold, ticking, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.ingest.tag_ids import TagIds

_UNDER_CONSTRUCTION: Final = (
    "DROP INDEX posttagrelation_tag_id",
    "CREATE TABLE unfinished_build (dumps TEXT NOT NULL)",
)


class Target:
    """An open file that no other process can use until it is closed.

    A file under construction has one table more, `unfinished_build`, and lacks the index of relations by tag,
    which is made several times faster of all rows at once. The transaction that completes it ends both.
    """

    def __init__(self, database: Store) -> None:
        self._database = database
        self._relations = SchemaManager(PostTagRelation, database.peewee)
        self.connection = database.connection()
        with explained(database.path):
            hold(self.connection)

    def is_unfinished(self) -> bool:
        """Whether the file is under construction."""
        return bool(
            self._database.scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = 'unfinished_build'")
        )

    def is_empty(self) -> bool:
        """Whether it has no posts."""
        return not self._database.scalar("SELECT EXISTS (SELECT 1 FROM post)")

    def begin(self, dumps: Sequence[Path]) -> None:
        """Write down what a new file is made of, or check that an unfinished one was made of the same.

        Raises:
            DatabaseFileError: it was begun with other dumps.
        """
        names = sorted(str(path.resolve()) for path in dumps)
        for (text,) in self._database.rows("SELECT dumps FROM unfinished_build"):
            if json.loads(text) != names:
                path = self._database.path
                raise DatabaseFileError(
                    f"{path} is an unfinished build of {', '.join(json.loads(text))}: run that command again to finish "
                    f"it, or delete {path.name} to begin anew"
                )
            return
        self.connection.execute("INSERT INTO unfinished_build VALUES (?)", [json.dumps(names)])

    def finish(self, tag_ids: TagIds, *, in_order: bool) -> None:
        """Index the relations, settle the types of tags and count their posts, in one transaction.

        Args:
            tag_ids: what was learned of tags.
            in_order: first give a new file the ids that do not tell in which order its rows came.
        """
        with ticking(self.connection, "indexing"), transaction(self.connection):
            tag_ids.settle_known()
            if in_order and self.is_unfinished():
                put_in_order(self.connection, self._relations, tag_ids.largest_known)
            self._relations.create_indexes(safe=True)
            count_popularity(self.connection)
            self.connection.execute("DROP TABLE IF EXISTS unfinished_build")


@contextlib.contextmanager
def open_target(out: Path, dumps: Sequence[Path]) -> Iterator[Target]:
    """Open an existing database for writing, or begin a new one, or go on with an unfinished one.

    A new one is built beside, in `OUT.building`, so that a file that is there is whole. It takes its name where
    the body of the `with` statement ends without an error; without a post in it it is removed.

    Raises:
        DatabaseFileError: the file is something else, is held by another process, or cannot be made.
    """
    out = real_path(out)
    building = unfinished_build(out)
    if not out.exists():
        with _open_new(building, out) as target:
            is_unfinished = target.is_unfinished()
            if is_unfinished:
                target.begin(dumps)
                with explained(building):
                    yield target
        # A build that was killed just before this left a whole file under this name.
        building.replace(out)
        if is_unfinished:
            return
    with Store(out, writable=True) as database, explained(out):
        yield Target(database)


@contextlib.contextmanager
def _open_new(building: Path, out: Path) -> Iterator[Target]:
    try:
        building.touch()
    except OSError as error:
        raise DatabaseFileError(f"{out} cannot be made: {error.strerror}; choose another path") from error
    lay_out(building, _UNDER_CONSTRUCTION)
    is_useless = False
    try:
        with Store(building, writable=True) as database:
            target = Target(database)
            try:
                yield target
            except BaseException:
                is_useless = target.is_empty()
                raise
    finally:
        if is_useless:
            building.unlink(missing_ok=True)
