"""Which scripts a file needs, and running them, each in one transaction of its own."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peewee import SqliteDatabase
from playhouse.migrations import Runner

from hakubooru.errors import DatabaseFileError, IncompleteError
from hakubooru.store.column_types import needs_mending
from hakubooru.store.layout import GENERATION, check_file, read_layout, recognise_generation, sqlite_uri
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.store import BUSY_TIMEOUT
from hakubooru.store.writing import hold

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator

SCRIPTS: Final = Path(__file__).parent
_PUBLISHED: Final = 3
"""How many scripts lead to the last published layout; those after them lead to this package's own."""
_MENDING: Final = 5
"""The script that makes numbers whole and brings dates to Danbooru's zone."""
_SHARE_NEEDED: Final = {1: 4.0, 2: 1.0, 3: 1.0, 4: 0.1}
"""Room that the scripts need, as a multiple of the file's size, by generation: the new tables stand beside the old, which
the journal keeps until the end. Measured: 3.4 for generation 1 without its index of words, 1.5 with it, else 0.4."""
_SHARE_TO_REWRITE: Final = 2.0
"""The same of generation 4, where every number or date has to be written anew."""
_WORTH_TELLING: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What bringing a file up to date takes, or took."""

    path: Path
    generation: int
    """The layout that the file was recognised by, 1 to 4."""
    scripts: tuple[str, ...]
    """Names of the scripts that it needs, in order; empty where it is up to date."""
    bytes_needed: int
    """Room on the disk that they need while they run, at most."""
    bytes_free: int
    notes: tuple[str, ...] = ()
    """What the scripts had to say."""


class MigratedDatabase(SqliteDatabase):
    """What a script is given: peewee's database, and a place for what should be told."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.notes: list[str] = []
        super().__init__(sqlite_uri(path, writable=writable), uri=True, timeout=BUSY_TIMEOUT)

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection, for plain SQL in the script's transaction."""
        connection: sqlite3.Connection = self.connection()  # type: ignore[no-untyped-call]
        return connection


def plan(path: str | os.PathLike[str]) -> Plan:
    """Say what a file needs, without changing it.

    Raises:
        DatabaseFileError: it is not a metadata database, is damaged, or is held by another process.
    """
    with _opened(Path(path), writable=False) as database:
        return _plan(database)


def migrate(path: str | os.PathLike[str]) -> Plan:
    """Bring a file up to date.

    Each script is one transaction: interrupted or killed, the file is as before it, and the same call goes on.

    Raises:
        DatabaseFileError: the file is not a metadata database, is damaged, or is held by another process.
        IncompleteError: the disk has no room for it.
    """
    with _opened(Path(path), writable=True) as database:
        needed = _plan(database)
        if not needed.scripts:
            return needed
        if needed.bytes_free < needed.bytes_needed:
            raise IncompleteError(
                f"{path} needs {needed.bytes_needed:,} free bytes on its disk while it is migrated, and there are "
                f"{needed.bytes_free:,}; make room, or copy it to another disk"
            )
        # A log left beside the file would keep it from being opened on a read-only disk.
        database.raw.execute("PRAGMA journal_mode = DELETE")
        hold(database.raw)
        runner = _runner(database)
        _record_what_the_file_has(runner, _scripts_done(database, needed.generation))
        runner.History.delete().where(runner.History.name.in_(needed.scripts)).execute()
        runner.up()
        _tell_of_free_pages(database)
        return _plan_of(database, needed.generation, needed.scripts)


@contextlib.contextmanager
def _opened(path: Path, *, writable: bool) -> Iterator[MigratedDatabase]:
    check_file(path, writable=writable)
    with explained(path), contextlib.closing(MigratedDatabase(path, writable=writable)) as database:
        yield database


def _plan(database: MigratedDatabase) -> Plan:
    generation = recognise_generation(read_layout(database.raw, database.path))
    if generation is None:
        raise DatabaseFileError(
            f"{database.path} is not a Danbooru metadata database of a layout that is known, 1 to 4; name one that is"
        )
    done, again = _scripts_done(database, generation), _needs_mending(database, generation)
    scripts = [script for script in _runner(database).status() if script.path and script.idx > done]
    needed = [script for script in scripts if not script.applied or (again and script.idx == _MENDING)]
    return _plan_of(database, generation, tuple(script.name for script in needed))


def _plan_of(database: MigratedDatabase, generation: int, scripts: tuple[str, ...]) -> Plan:
    size = database.path.stat().st_size
    share = _SHARE_TO_REWRITE if _needs_mending(database, generation) else _SHARE_NEEDED[generation]
    return Plan(
        path=database.path,
        generation=generation,
        scripts=scripts,
        bytes_needed=int(size * share) if scripts else 0,
        bytes_free=shutil.disk_usage(database.path.resolve().parent).free,
        notes=tuple(database.notes),
    )


def _tell_of_free_pages(database: MigratedDatabase) -> None:
    free, pages, size = (
        database.raw.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("freelist_count", "page_count", "page_size")
    )
    if free > _WORTH_TELLING * pages:
        database.notes.append(
            f"{free * size:,} bytes of the file are free now, and later updates will use them; to give them back to the disk, "
            f"run VACUUM in SQLite's own shell, which needs room for a second copy"
        )


def _needs_mending(database: MigratedDatabase, generation: int) -> bool:
    """Whether another program has written into a file what the last script mends, be it for the second time."""
    return generation == GENERATION and needs_mending(database.raw)


def _scripts_done(database: MigratedDatabase, generation: int) -> int:
    """How many of the scripts a file is beyond, by its look: it may have no history."""
    # Script N leads from generation N to the next, and those after them from one layout of our own to the next.
    layout = database.raw.execute("PRAGMA user_version").fetchone()[0]
    done = _PUBLISHED + layout if layout and generation == GENERATION else generation - 1
    return min(done, _MENDING - 1) if _needs_mending(database, generation) else done


def _record_what_the_file_has(runner: Any, count: int) -> None:
    done = [script.name for script in runner.migrations() if script.idx <= count]
    runner.History.create_table()
    if done:
        runner.fake(done[-1])


def _runner(database: MigratedDatabase) -> Any:
    return Runner(database, str(SCRIPTS))
