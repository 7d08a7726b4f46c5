"""Find the scripts that a file needs and run each in one transaction."""

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
from hakubooru.store.layout import (
    GENERATION,
    check_file,
    read_layout,
    recognise_generation,
    refuse_foreign,
    sqlite_uri,
)
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.store import BUSY_TIMEOUT
from hakubooru.store.writing import hold

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator

SCRIPTS: Final = Path(__file__).parent
_PUBLISHED: Final = 3
"""How many scripts lead to the last published layout; later ones lead to this package's own layouts."""
_MENDING: Final = 5
"""The number of the script that converts numbers and dates."""
_SHARE_NEEDED: Final = {1: 4.0, 2: 1.0, 3: 1.0, 4: 0.1}
"""The disk space that the scripts need, as a multiple of the file's size, by generation. New tables are written beside the
old ones, which the journal keeps until the end. Measured: 3.4 for generation 1 without its full-text index, 1.5 with it,
and 0.4 for the others."""
_SHARE_TO_REWRITE: Final = 2.0
"""The disk space for a file of generation 4 with numbers or dates to convert, as a multiple of its size."""
_WORTH_TELLING: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The scripts and the disk space that the migration of a file needs, or needed."""

    path: Path
    """The path of the file."""
    generation: int
    """The generation of the file's layout before the migration, 1 to 4."""
    scripts: tuple[str, ...]
    """The names of the scripts that the file needs, in order; empty if it is up to date."""
    bytes_needed: int
    """The most disk space that the scripts need while they run."""
    bytes_free: int
    """The free space on the file's disk."""
    notes: tuple[str, ...] = ()
    """The notes that the scripts wrote for the user."""


class MigratedDatabase(SqliteDatabase):
    """The database that a script gets: peewee's, with a list of notes for the user."""

    def __init__(self, path: Path, *, writable: bool, busy_timeout: float) -> None:
        self.path = path
        self.notes: list[str] = []
        super().__init__(sqlite_uri(path, writable=writable), uri=True, timeout=busy_timeout)

    @property
    def raw(self) -> sqlite3.Connection:
        """The SQLite connection, for plain SQL in the script's transaction."""
        connection: sqlite3.Connection = self.connection()  # type: ignore[no-untyped-call]
        return connection

    def rollback(self) -> None:
        """Undo the transaction. SQLite undoes it itself on a full disk; a second time would hide that error."""
        if self.raw.in_transaction:
            super().rollback()


def plan(path: str | os.PathLike[str], *, busy_timeout: float = BUSY_TIMEOUT) -> Plan:
    """Find out what the migration of a file needs, without changing the file.

    Args:
        path: the SQLite file.
        busy_timeout: how many seconds to wait while another process has locked the file.

    Raises:
        DatabaseFileError: the file is not a metadata database, is damaged, or another process has locked it.
    """
    with _opened(Path(path), writable=False, busy_timeout=busy_timeout) as database:
        return _plan(database)


def migrate(path: str | os.PathLike[str], *, busy_timeout: float = BUSY_TIMEOUT) -> Plan:
    """Migrate a file to the current layout.

    Each script is one transaction. If it is interrupted or killed, the file is as before the script, and the same call
    continues there.

    Args:
        path: the SQLite file.
        busy_timeout: how many seconds to wait while another process has locked the file.

    Raises:
        DatabaseFileError: the file is not a metadata database, is damaged, or another process has locked it.
        IncompleteError: the disk does not have enough free space.
    """
    with _opened(Path(path), writable=True, busy_timeout=busy_timeout) as database:
        plan = _plan(database)
        if not plan.scripts:
            return plan
        if plan.bytes_free < plan.bytes_needed:
            raise IncompleteError(
                f"{path} needs {plan.bytes_needed:,} free bytes on its disk while it is migrated, and there are "
                f"{plan.bytes_free:,}; make room, or copy it to another disk"
            )
        # A file in WAL mode has a log beside it, and cannot be opened on a read-only disk.
        database.raw.execute("PRAGMA journal_mode = DELETE")
        hold(database.raw)
        runner = _runner(database)
        _record_history(runner, _scripts_done(database, plan.generation))
        runner.History.delete().where(runner.History.name.in_(plan.scripts)).execute()
        runner.up()
        _note_free_pages(database)
        return _plan_of(database, plan.generation, plan.scripts)


@contextlib.contextmanager
def _opened(path: Path, *, writable: bool, busy_timeout: float) -> Iterator[MigratedDatabase]:
    check_file(path, writable=writable)
    database = MigratedDatabase(path, writable=writable, busy_timeout=busy_timeout)
    with explained(path), contextlib.closing(database):
        yield database


def _plan(database: MigratedDatabase) -> Plan:
    layout = read_layout(database.raw, database.path)
    generation = recognise_generation(layout)
    refuse_foreign(database.path, layout, generation)
    if generation is None:
        raise DatabaseFileError(
            f"{database.path} is not a Danbooru metadata database of generation 1 to 4; name another file"
        )
    done, again = _scripts_done(database, generation), _needs_mending(database, generation)
    later = [script for script in _runner(database).status() if script.path and script.idx > done]
    scripts = [script for script in later if not script.applied or (again and script.idx >= _MENDING)]
    return _plan_of(database, generation, tuple(script.name for script in scripts))


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


def _note_free_pages(database: MigratedDatabase) -> None:
    free, pages, size = (
        database.raw.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("freelist_count", "page_count", "page_size")
    )
    if free > _WORTH_TELLING * pages:
        database.notes.append(
            f"{free * size:,} bytes inside the file are free now, and later updates will use them; to make the file smaller, "
            f"run VACUUM in SQLite's own shell, which needs room for a second copy"
        )


def _needs_mending(database: MigratedDatabase, generation: int) -> bool:
    """Whether a file has numbers or dates that the last script converts, even if it ran before."""
    return generation == GENERATION and needs_mending(database.raw)


def _scripts_done(database: MigratedDatabase, generation: int) -> int:
    """How many scripts a file does not need any more, by its layout, because it may have no history."""
    # Script N leads from generation N to the next; later scripts lead from one layout of this package to the next.
    layout = database.raw.execute("PRAGMA user_version").fetchone()[0]
    done = _PUBLISHED + layout if layout and generation == GENERATION else generation - 1
    return min(done, _MENDING - 1) if _needs_mending(database, generation) else done


def _record_history(runner: Any, count: int) -> None:
    done = [script.name for script in runner.migrations() if script.idx <= count]
    runner.History.create_table()
    if done:
        runner.fake(done[-1])


def _runner(database: MigratedDatabase) -> Any:
    return Runner(database, str(SCRIPTS))
