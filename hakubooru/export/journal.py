"""The journal of an export: an SQLite file in its folder that says what is done, so that an export can resume.

What came of an archive is written in one transaction, together with what came of other small ones. The file stays locked while an export runs.

A row of the table `archive` holds three columns of state:

- `todo`: 0, the archive is done; 1, read it again for the posts that are still missing.
- `stamp`: the archive's stamp when it was last read; -1, what was learned then no longer counts.
- `boot`: the run of the machine in which the archive was exported; "" once its files have reached the disk.

`run_export` skips an archive if `todo` is 0 and `stamp` is the archive's stamp now. A changed archive is read again.

                  record
    no row ─────────────────────▶ todo 0, stamp S ◀───────────────┐
      ▲                            │           ▲                  │
      │      reopen, retry,        │           │ record           │ record
      │      forget, forget_twins  ▼           │                  │
      │                           todo 1, stamp S ──unlearn──▶ todo 1, stamp -1
      └── strike, from any state

- `record`: the archive was read, or holds none of the posts that its name does not announce (key with `OTHERS`).
- `reopen`: the selection changed, so every archive may hold posts that were not asked for before.
- `retry`: an image of the folder was refused, and the folder's stamp does not say whether it was mended.
- `unlearn`: this version reads more than the version that read the archives last; it also moves rows with `todo` 0.
- `forget`, `forget_twins`: exported pairs were lost or removed, or the image that a duplicate stood for is gone.
- `strike`: a folder of own images changed; everything that came of it is removed.

    boot "RUN" ──trust, trust_all──▶ boot ""

- `trust`: `Disk` has flushed the files, or `run_export` has compared them with their hashes after a restart.
- `trust_all`: the pairs lie in shards, which are on the disk before they are recorded.
- `doubtful` lists the archives whose `boot` is another run of the machine: their files may not have reached the disk.

The setting `decoding` is written once, by the first run, and never changes: an export has one version of decoding.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from hakubooru.arrays import id_text
from hakubooru.export.journal_file import boot, exported_ids, open_record
from hakubooru.export.pairs import STATE, Pair
from hakubooru.image.kinds import EXTENSIONS
from hakubooru.image.layouts import storable
from hakubooru.store.sqlite_errors import SQLITE_ERRORS, raise_explained

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.pairs import Outcome

_NOTHING, _READ = range(2)
"""Values of `archive.todo`: the archive is done, or is to be read again."""

_NO_STAMP: Final = -1
_IDS_A_READ: Final = 10_000
OTHERS: Final = " (others)"
"""Ends the key of a row that stands for the posts which the archive's name does not announce."""
_ON_THE_DISK: Final = ""
"""Value of `archive.boot` for an archive whose files have reached the disk."""

_PAIR: Final = ", ".join(Pair._fields)


class Journal:
    """The journal of one export, for one process at a time; its `with` statement explains the errors of SQLite in it."""

    def __init__(self, out: Path) -> None:
        """Open the journal of an export, or create one.

        Args:
            out: the export's folder.

        Raises:
            DestinationError: another export is writing into the folder, or the file is not a journal.
        """
        self.path = path = out / STATE / "journal.sqlite"
        self._connection = open_record(path, out)
        self._boot = boot()
        self.settings: dict[str, str] = dict(self._connection.execute("SELECT name, value FROM setting"))
        """Everything that `settle` and `remember` recorded, by name; nobody else writes while the journal is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._connection.close()
        if isinstance(error, SQLITE_ERRORS):
            raise_explained(self.path, error)

    def settle(self, settings: Mapping[str, str]) -> None:
        """Record settings that have no value yet."""
        self._write("INSERT OR IGNORE INTO setting VALUES (?, ?)", list(settings.items()))
        self.settings = {**settings, **self.settings}

    def remember(self, name: str, value: str) -> str | None:
        """Record a value that may change from one run to the next; return the value before."""
        before = self.settings.get(name)
        self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", [name, value])
        self.settings[name] = value
        return before

    def done(self) -> set[tuple[str, int]]:
        """Return the keys and stamps of the archives that are done."""
        return set(self._connection.execute("SELECT name, stamp FROM archive WHERE todo = ?", [_NOTHING]))

    def stamps(self) -> dict[str, int]:
        """Return the stamp of each archive when it was last read, by key, done or not."""
        return dict(self._connection.execute("SELECT name, stamp FROM archive").fetchall())

    def reopen(self) -> None:
        """Have every archive read again, for posts that were not asked for before; own folders hold no posts."""
        self._connection.execute(
            "UPDATE archive SET todo = MAX(todo, ?) WHERE name NOT GLOB 'own *'", [_READ]
        )

    def retry(self, archives: Container[str]) -> None:
        """Have archives with refused images read again."""
        rows = self._connection.execute("SELECT DISTINCT archive FROM broken WHERE status = 'broken'")
        self._read_again("?", [row for row in rows if row[0].removesuffix(OTHERS) in archives])

    def unlearn(self) -> None:
        """Have every archive read again as if it were new; the pairs exported from it stay."""
        self.reopen()
        self._connection.execute("UPDATE archive SET stamp = ? WHERE name NOT GLOB 'own *'", [_NO_STAMP])

    def record(self, *outcomes: Outcome) -> None:
        """Record what came of archives, in full or not at all."""
        with self.change():
            for outcome in outcomes:
                self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        key = outcome.key
        many = self._connection.executemany
        # An image that was refused before and is exported now was mended in between.
        before = self._connection.execute("SELECT DISTINCT id FROM broken WHERE archive = ?", [key])
        if refused := before.fetchall():
            exported = {pair.id for pair in outcome.pairs}
            mended = [(key, number) for (number,) in refused if number in exported]
            many("DELETE FROM broken WHERE archive = ? AND id = ?", mended)
        many("INSERT INTO pair VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [(*pair, key) for pair in outcome.pairs])
        many(
            "INSERT OR REPLACE INTO broken VALUES (?, ?, ?, ?, ?)",
            [(one.id, key, storable(one.member), one.reason, one.status) for one in outcome.broken],
        )
        # A refused member is reported once, for whichever posts the archive was read.
        archive = key.removesuffix(OTHERS)
        for reason, (count, names) in outcome.passed_over.items():
            many(
                "INSERT OR IGNORE INTO passed_name VALUES (?, ?, ?)",
                [(archive, reason, storable(name)) for name in names],
            )
            # An archive that is read again for some posts only may report fewer than the first time.
            self._connection.execute(
                "INSERT INTO passed_over VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = MAX(count, excluded.count)",
                [archive, reason, count],
            )
        self._connection.execute(
            "INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?, ?, ?)",
            [key, outcome.stamp, outcome.strays, outcome.damage, self._boot, _NOTHING],
        )

    def forget(self, ids: Iterable[int]) -> None:
        """Remove pairs, and have all archives read again: archives other than the pairs' own may hold them too."""
        rows = [(post_id,) for post_id in ids]
        if not rows:
            return
        self.reopen()
        self._read_again("SELECT archive FROM pair WHERE id = ?", rows)
        self._write("DELETE FROM pair WHERE id = ?", rows)

    def strike(self, archive: str) -> None:
        """Remove everything that came of an archive."""
        with self.change():
            for table in ("pair", "twin", "broken", "passed_over", "passed_name"):
                self._connection.execute(f"DELETE FROM {table} WHERE archive = ?", [archive])
            self._connection.execute("DELETE FROM archive WHERE name = ?", [archive])

    def trust(self, archives: Iterable[str]) -> None:
        """Record that the files exported from these archives have reached the disk."""
        rows = [(_ON_THE_DISK, name) for name in archives]
        self._write("UPDATE archive SET boot = ? WHERE name = ?", rows)

    def trust_all(self) -> None:
        """Record that all exported files have reached the disk."""
        self._connection.execute("UPDATE archive SET boot = ?", [_ON_THE_DISK])

    def change(self, *, durable: bool = False) -> AbstractContextManager[object]:
        """Make the block one transaction; with `durable`, it has reached the disk when the block ends, or is undone."""
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def relocate(self, paths: Iterable[tuple[str, int]]) -> None:
        """Record where pairs lie now, as paths and ids; call it within `change`."""
        self._connection.executemany("UPDATE pair SET path = ? WHERE id = ?", paths)

    def move_files(self, files: Mapping[str, str]) -> None:
        """Record that files of the spool become shards, by their paths; call it within `change`.

        A pair's path `FILE/OFFSET/MEMBER` becomes `SHARD/MEMBER`.
        """
        if not files:
            return
        length = len(next(iter(files)))
        self._connection.execute("CREATE TEMP TABLE move (file TEXT PRIMARY KEY, shard TEXT) WITHOUT ROWID")
        self._connection.executemany("INSERT INTO move VALUES (?, ?)", files.items())
        self._connection.execute(
            "UPDATE pair SET path = shard || substr(path, ?1 + 1 + instr(substr(path, ?1 + 2), '/')) "
            "FROM move WHERE file = substr(path, 1, ?1)",
            [length],
        )
        self._connection.execute("DROP TABLE move")

    def in_shard_order(self) -> Iterator[tuple[int, str, int, int]]:
        """Yield id, path, bytes of the image and bytes of the caption of every pair, in the order of shards.

        The order is id % 1000, then id; own images come last. Rows are sorted before the first is yielded, so pairs
        may be relocated while you iterate.
        """
        yield from self._connection.execute(
            "SELECT id, path, bytes, length(CAST(caption AS BLOB)) FROM pair "
            "ORDER BY id < 0, CASE WHEN id < 0 THEN 0 ELSE id % 1000 END, id"
        )

    def doubtful(self) -> list[str]:
        """Return the archives whose files may not have reached the disk before the machine was restarted."""
        rows = self._connection.execute(
            "SELECT name FROM archive WHERE boot NOT IN (?, ?)", [_ON_THE_DISK, self._boot]
        )
        return [name for (name,) in rows]

    def pairs_from(self, archives: Iterable[str]) -> Iterator[Pair]:
        """Yield the pairs exported from archives, archive by archive, in the order of their paths."""
        for archive in archives:
            yield from self._pairs("archive = ? ORDER BY path", [archive])

    def new_twins(self) -> Ids:
        """Return the exported images that are equal, byte for byte, to one with a smaller number, ascending."""
        first = "(SELECT id, MIN(id) OVER (PARTITION BY sha256) AS first FROM pair)"
        return _column(self._connection.execute(f"SELECT id FROM {first} WHERE id > first ORDER BY id"))

    def set_aside(self, twins: Ids) -> None:
        """Move exported images to the table of duplicates.

        Args:
            twins: post ids, or the numbers of own images.
        """
        rows = [(number,) for number in twins.tolist()]
        with self.change():
            many = self._connection.executemany
            many("INSERT INTO twin SELECT id, sha256, archive FROM pair WHERE id = ?", rows)
            many("DELETE FROM pair WHERE id = ?", rows)

    def forget_twins(self, ids: Ids) -> Ids:
        """Remove duplicates that are not selected any more, and duplicates whose exported image is gone.

        Args:
            ids: the selected posts and own images, ascending.

        Returns:
            the duplicates whose exported image is gone, ascending; their archives are read again.
        """
        others = np.setdiff1d(self.twin_ids(), ids, assume_unique=True)
        self._write("DELETE FROM twin WHERE id = ?", [(number,) for number in others.tolist()])
        firsts = "(SELECT sha256, MIN(id) AS first FROM pair GROUP BY sha256) USING (sha256)"
        rows = self._connection.execute(
            f"SELECT id FROM twin LEFT JOIN {firsts} WHERE first IS NULL OR first > id ORDER BY id"
        ).fetchall()
        self._read_again("SELECT archive FROM twin WHERE id = ?", rows)
        self._write("DELETE FROM twin WHERE id = ?", rows)
        return _column(rows)

    def twin_ids(self) -> Ids:
        """Return the posts that are left out because their image is another's, ascending."""
        return _column(self._connection.execute("SELECT id FROM twin ORDER BY id"))

    def twins(self, low: int, high: int) -> dict[int, str]:
        """Return the SHA-256 of the duplicates among the posts from `low` to `high`, by id."""
        rows = self._connection.execute("SELECT id, sha256 FROM twin WHERE id BETWEEN ? AND ?", [low, high])
        return dict(rows.fetchall())

    def forget_broken(self, ids: Ids) -> None:
        """Remove the reasons why the images of some posts were refused, because the posts are not selected any more."""
        self._write("DELETE FROM broken WHERE id = ?", [(post_id,) for post_id in ids.tolist()])

    def broken_ids(self) -> Ids:
        """Return the posts that have a refused image, ascending."""
        return _column(self._connection.execute("SELECT DISTINCT id FROM broken ORDER BY id"))

    def ids(self) -> Ids:
        """Return the exported posts and own images, ascending."""
        return exported_ids(self._connection)

    def ids_of(self, archive: str) -> Ids:
        """Return the posts exported from one archive, ascending."""
        rows = self._connection.execute("SELECT id FROM pair WHERE archive = ? ORDER BY id", [archive])
        return _column(rows)

    def pairs(self, low: int = -(2**63), high: int = 2**63 - 1) -> Iterator[Pair]:
        """Yield the exported pairs of the posts from `low` to `high`, ascending."""
        return self._pairs("id BETWEEN ? AND ? ORDER BY id", [low, high])

    def pairs_of(self, ids: Ids) -> Iterator[Pair]:
        """Yield the exported pairs of these posts."""
        for start in range(0, len(ids), _IDS_A_READ):
            rows = self._connection.execute(
                f"SELECT {_PAIR} FROM pair WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
                [id_text(ids[start : start + _IDS_A_READ])],
            ).fetchall()
            yield from map(Pair._make, rows)

    def archives_of(self, ids: Ids) -> set[str]:
        """Return the keys of the archives that these posts were exported from; own folders are left out."""
        rows = self._connection.execute(
            "SELECT DISTINCT archive FROM pair WHERE id IN (SELECT value FROM json_each(?)) AND archive NOT GLOB 'own *'",
            [id_text(ids)],
        )
        return {key.removesuffix(OTHERS) for (key,) in rows}

    def extensions(self) -> dict[str, int]:
        """Count the exported images of each extension."""
        sums = ", ".join(f"COUNT(*) FILTER (WHERE path GLOB '*.{name}')" for name in EXTENSIONS)
        counts = self._connection.execute(f"SELECT {sums} FROM pair").fetchone()
        return {name: count for name, count in zip(EXTENSIONS, counts, strict=True) if count}

    def duplicates(self) -> int:
        """Count the exported images that are equal, byte for byte, to one with a smaller id."""
        counted = self._connection.execute("SELECT COUNT(*) - COUNT(DISTINCT sha256) FROM pair")
        return int(counted.fetchone()[0])

    def reasons(self, low: int, high: int) -> dict[int, tuple[str, str]]:
        """Return why the images of the posts from `low` to `high` were refused: status and reasons, by id.

        A post with several refused images is `unfit` if one of them is, else `broken`.
        """
        rows = self._connection.execute(
            "SELECT id, MAX(status), group_concat(reason, '; ') FROM "
            "(SELECT DISTINCT id, status, reason FROM broken WHERE id BETWEEN ? AND ? ORDER BY id, reason) GROUP BY id",
            [low, high],
        )
        return {post_id: (status, reason) for post_id, status, reason in rows}

    def rejects(self) -> Iterator[dict[str, Any]]:
        """Yield every member that was refused, with its archive and the reason."""
        archive = (
            f"iif(archive GLOB '*{OTHERS}', substr(archive, 1, length(archive) - {len(OTHERS)}), archive)"
        )
        rows = self._connection.execute(
            f"SELECT {archive}, member, reason FROM broken UNION ALL SELECT archive, member, reason FROM passed_name "
            "ORDER BY 1, 2, 3"
        )
        for archive, member, reason in rows:
            yield {"archive": archive, "member": member, "reason": reason}

    def passed_over(self) -> dict[str, tuple[int, list[str]]]:
        """Return the members that are not images of posts: how many and the first names, by reason."""
        rows = self._connection.execute(
            "SELECT reason, SUM(count) FROM passed_over GROUP BY reason ORDER BY reason"
        ).fetchall()
        names = "SELECT member FROM passed_name WHERE reason = ? ORDER BY archive, member LIMIT 3"
        return {
            reason: (count, [name for (name,) in self._connection.execute(names, [reason])])
            for reason, count in rows
        }

    def damaged(self) -> dict[str, str]:
        """Return the archives that could not be read to their end, and why."""
        rows = self._connection.execute("SELECT name, damage FROM archive WHERE damage > '' ORDER BY name")
        return {name.removesuffix(OTHERS): damage for name, damage in rows}

    def strays(self) -> dict[str, int]:
        """Return how many posts archives hold that their names do not announce."""
        return dict(self._connection.execute("SELECT name, strays FROM archive WHERE strays > 0"))

    def _pairs(self, condition: str, parameters: list[Any]) -> Iterator[Pair]:
        rows = self._connection.execute(f"SELECT {_PAIR} FROM pair WHERE {condition}", parameters)
        return map(Pair._make, rows)

    def _read_again(self, archive: str, rows: list[Any]) -> None:
        """Have the archives read again that an expression names for each row."""
        self._write(f"UPDATE archive SET todo = MAX(todo, {_READ}) WHERE name = ({archive})", rows)

    def _write(self, statement: str, rows: list[Any]) -> None:
        if not rows:
            return
        with nullcontext() if self._connection.in_transaction else self.change():
            self._connection.executemany(statement, rows)


def _column(rows: Iterable[tuple[int]]) -> Ids:
    return np.fromiter((number for (number,) in rows), np.int64)
