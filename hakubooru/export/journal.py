"""What an export has done so far: an SQLite file in the export's folder, from which it is taken up again.

The work of an archive enters in one transaction, and the file stays locked while an export runs.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from hakubooru.arrays import read_ascending
from hakubooru.errors import DestinationError
from hakubooru.export.journal_file import open_record
from hakubooru.export.power import boot
from hakubooru.export.records import Pair
from hakubooru.export.sinks import STATE
from hakubooru.image.kinds import EXTENSIONS
from hakubooru.image.names import storable
from hakubooru.sql import id_text
from hakubooru.writing import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Outcome

_NOTHING, _READ = range(2)
"""What is to be done with an archive: nothing, or reading it again."""

_NO_STAMP: Final = -1
_IDS_A_READ: Final = 10_000
OTHERS: Final = " (others)"
"""Behind an archive's key where it was asked for posts that its name does not tell of."""
_SHOWN: Final = 3
"""Options that differ, of which values are told too; of more, such as all that make another preset, the names."""
_ON_THE_DISK: Final = ""
"""In place of the run of the machine in which an archive was exported."""

_DECODING: Final = "decoding"
_BEFORE_DECODING: Final = 1
"""The version of decoding of exports that were begun before it was taken down."""
EARLIER: Final = {
    "caption.repeats": "true",
    "output.shards": '"of one archive each"',
    "image.subsampling": '"4:2:0"',
}
"""What is true of exports whose record does not say it, since an earlier version began them."""
_NO_OPTIONS: Final = {"output.shards", "image.subsampling"}
"""Those of them that can be given to no export of this version."""

_PAIR: Final = ", ".join(Pair._fields)


class Journal:
    """The record of one export; used in a `with` statement, and by one process at a time."""

    def __init__(self, out: Path) -> None:
        """Open the record of an export, or begin one.

        Raises:
            DestinationError: another export is writing into the folder, or what is there is no record.
        """
        self.path = path = out / STATE / "journal.sqlite"
        self._connection = open_record(path, out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def settle(self, settings: Mapping[str, str], out: Path) -> None:
        """Take down the settings of a new export, or compare them with those it was begun with.

        Raises:
            DestinationError: some differ; the message names them.
        """
        before = dict(self._connection.execute("SELECT name, value FROM setting"))
        tables = {name.partition(".")[0] for name in before}
        earlier = {name: value for name, value in EARLIER.items() if name.partition(".")[0] in tables}
        recorded, before = before, earlier | before
        differing = [name for name, value in settings.items() if before.get(name, value) != value]
        if differing:
            told = "; ".join(f"{name} was {before[name]}, and is {settings[name]}" for name in differing)
            if len(differing) > _SHOWN:
                told = ", ".join(differing)
            is_earlier = not recorded.keys() >= set(differing)
            version = " by an earlier version of hakubooru" if is_earlier else ""
            mend = "go on with that version" if _NO_OPTIONS.intersection(differing) else "give the same"
            raise DestinationError(
                f"{out} was begun{version} with other options: {told}; {mend}, or choose another folder"
            )
        self._write("INSERT OR IGNORE INTO setting VALUES (?, ?)", list(settings.items()))

    def decoding(self, now: int) -> int:
        """Give the version of decoding that the export was begun with, and take it down; ask before `settle`.

        Args:
            now: the version that a new export begins with.
        """
        recorded = self.recall(_DECODING)
        if recorded is None:
            (is_begun,) = self._connection.execute("SELECT EXISTS (SELECT 1 FROM setting)").fetchone()
            recorded = str(_BEFORE_DECODING if is_begun else now)
            self.remember(_DECODING, recorded)
        return int(recorded)

    def remember(self, name: str, value: str) -> str | None:
        """Take down what may change from one run to the next; gives what it was before."""
        before = self.recall(name)
        self._write("INSERT OR REPLACE INTO setting VALUES (?, ?)", [(name, value)])
        return before

    def recall(self, name: str) -> str | None:
        """What was taken down under that name."""
        found = self._connection.execute("SELECT value FROM setting WHERE name = ?", [name]).fetchone()
        return found[0] if found else None

    def done(self) -> set[tuple[str, int]]:
        """Keys and stamps of the work that is done."""
        return set(self._connection.execute("SELECT name, stamp FROM archive WHERE todo = ?", [_NOTHING]))

    def stamps(self) -> dict[str, int]:
        """By their keys, the stamps of archives when they were read last, whatever is to be done with them."""
        return dict(self._connection.execute("SELECT name, stamp FROM archive").fetchall())

    def reopen(self) -> None:
        """Have every archive read again, for posts that were not asked for before; own folders have none of them."""
        self._write("UPDATE archive SET todo = MAX(todo, ?) WHERE name NOT GLOB 'own *'", [(_READ,)])

    def unlearn(self) -> None:
        """Have every archive read again as one of which nothing is known; what it gave stays."""
        self.reopen()
        self._write("UPDATE archive SET stamp = ? WHERE name NOT GLOB 'own *'", [(_NO_STAMP,)])

    def record(self, outcome: Outcome) -> None:
        """Take down what came of an archive, in full or not at all."""
        key = outcome.key
        many = self._connection.executemany
        with transaction(self._connection):
            # An image that was not taken from it before, and now is, was mended meanwhile.
            before = self._connection.execute(
                "SELECT DISTINCT id FROM broken WHERE archive = ?", [key]
            ).fetchall()
            mended = {number for (number,) in before}.intersection(pair.id for pair in outcome.pairs)
            many("DELETE FROM broken WHERE archive = ? AND id = ?", [(key, number) for number in mended])
            many(
                "INSERT INTO pair VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*pair, key) for pair in outcome.pairs],
            )
            many(
                "INSERT OR REPLACE INTO broken VALUES (?, ?, ?, ?, ?)",
                [(one.id, key, storable(one.member), one.reason, one.status) for one in outcome.broken],
            )
            archive = key.removesuffix(OTHERS)  # what is none to take is told once, whatever was asked for
            for reason, (count, names) in outcome.passed_over.items():
                many(
                    "INSERT OR IGNORE INTO passed_name VALUES (?, ?, ?)",
                    [(archive, reason, storable(name)) for name in names],
                )
                # An archive that is read again, for some posts, tells less than the first time.
                self._connection.execute(
                    "INSERT INTO passed_over VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = MAX(count, excluded.count)",
                    [archive, reason, count],
                )
            self._connection.execute(
                "INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?, ?, ?)",
                [key, outcome.stamp, outcome.strays, outcome.damage, boot(), _NOTHING],
            )

    def forget(self, ids: Iterable[int]) -> None:
        """Strike pairs, and have all archives read again: others than those that they came from may have them."""
        rows = [(post_id,) for post_id in ids]
        if not rows:
            return
        self.reopen()
        self._write(
            f"UPDATE archive SET todo = MAX(todo, {_READ}) WHERE name = (SELECT archive FROM pair WHERE id = ?)",
            rows,
        )
        self._write("DELETE FROM pair WHERE id = ?", rows)

    def strike(self, archive: str) -> None:
        """Forget all that came of an archive."""
        with transaction(self._connection):
            for table, name in (
                ("pair", "archive"),
                ("twin", "archive"),
                ("broken", "archive"),
                ("archive", "name"),
            ):
                self._connection.execute(f"DELETE FROM {table} WHERE {name} = ?", [archive])

    def trust(self, archives: Iterable[str]) -> None:
        """Take down that what these archives gave has reached the disk."""
        rows = [(_ON_THE_DISK, name) for name in archives]
        self._write("UPDATE archive SET boot = ? WHERE name = ?", rows)

    def trust_all(self) -> None:
        """Take down that all has reached the disk."""
        self._write("UPDATE archive SET boot = ?", [(_ON_THE_DISK,)])

    @contextmanager
    def durable(self) -> Iterator[None]:
        """Make a change that has reached the disk at the end of the block, or not at all."""
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            with self.change():
                yield
        finally:
            self._connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make one change of several."""
        with transaction(self._connection):
            yield

    def relocate(self, paths: Iterable[tuple[str, int]]) -> None:
        """Take down where pairs lie now: paths and ids; within a change."""
        self._connection.executemany("UPDATE pair SET path = ? WHERE id = ?", paths)

    def in_shard_order(self) -> Iterator[tuple[int, str, int, int]]:
        """Id, path, bytes of the image and of the caption of all pairs: by id % 1000 and id, own images behind.

        The order is made before the first is given, so that pairs may be relocated meanwhile.
        """
        yield from self._connection.execute(
            "SELECT id, path, bytes, length(CAST(caption AS BLOB)) FROM pair "
            "ORDER BY id < 0, CASE WHEN id < 0 THEN 0 ELSE id % 1000 END, id"
        )

    def doubtful(self) -> list[str]:
        """Archives that were exported before the machine was started anew, and may not have reached the disk."""
        rows = self._connection.execute(
            "SELECT name FROM archive WHERE boot NOT IN (?, ?)", [_ON_THE_DISK, boot()]
        )
        return [name for (name,) in rows]

    def pairs_from(self, archives: Iterable[str]) -> Iterator[Pair]:
        """What archives gave, in the order of its paths in each."""
        for archive in archives:
            yield from self._pairs("archive = ? ORDER BY path", [archive])

    def new_twins(self) -> Ids:
        """Images that are, byte for byte, that of another with a smaller number, ascending."""
        first = "(SELECT id, MIN(id) OVER (PARTITION BY sha256) AS first FROM pair)"
        return _column(self._connection.execute(f"SELECT id FROM {first} WHERE id > first ORDER BY id"))

    def set_aside(self, twins: Ids) -> None:
        """Take images down, by their numbers, as those of others, and not as exported."""
        rows = [(number,) for number in twins.tolist()]
        with transaction(self._connection):
            many = self._connection.executemany
            many("INSERT INTO twin SELECT id, sha256, archive FROM pair WHERE id = ?", rows)
            many("DELETE FROM pair WHERE id = ?", rows)

    def forget_twins(self, ids: Ids) -> Ids:
        """Forget twins that are not among some posts, and those whose other is gone.

        Returns:
            the latter, ascending; their archives are read again.
        """
        others = np.setdiff1d(self.twin_ids(), ids, assume_unique=True)
        self._write("DELETE FROM twin WHERE id = ?", [(number,) for number in others.tolist()])
        left = "(SELECT sha256, MIN(id) AS first FROM pair GROUP BY sha256) USING (sha256)"
        rows = self._connection.execute(
            f"SELECT id FROM twin LEFT JOIN {left} WHERE first IS NULL OR first > id ORDER BY id"
        ).fetchall()
        self._write(
            f"UPDATE archive SET todo = MAX(todo, {_READ}) WHERE name = (SELECT archive FROM twin WHERE id = ?)",
            rows,
        )
        self._write("DELETE FROM twin WHERE id = ?", rows)
        return _column(rows)

    def twin_ids(self) -> Ids:
        """Posts whose image is that of another, ascending."""
        return _column(self._connection.execute("SELECT id FROM twin ORDER BY id"))

    def twins(self, low: int, high: int) -> dict[int, str]:
        """Of posts from `low` to `high` whose image is that of another: its SHA-256."""
        rows = self._connection.execute("SELECT id, sha256 FROM twin WHERE id BETWEEN ? AND ?", [low, high])
        return dict(rows.fetchall())

    def forget_broken(self, ids: Ids) -> None:
        """Strike what is on record of images that were not taken, of posts that are not selected any more."""
        self._write("DELETE FROM broken WHERE id = ?", [(post_id,) for post_id in ids.tolist()])

    def broken_ids(self) -> Ids:
        """Posts of which an image was not taken, ascending."""
        rows = self._connection.execute("SELECT DISTINCT id FROM broken ORDER BY id")
        return _column(rows)

    def ids(self) -> Ids:
        """The posts that are exported, ascending."""
        return read_ascending(
            self._connection, "SELECT id, id AS value FROM pair WHERE id > ? ORDER BY id", []
        )

    def ids_of(self, archive: str) -> Ids:
        """The posts that an archive gave, ascending."""
        rows = self._connection.execute("SELECT id FROM pair WHERE archive = ? ORDER BY id", [archive])
        return _column(rows)

    def pairs(self, low: int = -(2**63), high: int = 2**63 - 1) -> Iterator[Pair]:
        """What is exported of the posts from `low` to `high`, ascending."""
        return self._pairs("id BETWEEN ? AND ? ORDER BY id", [low, high])

    def pairs_of(self, ids: Ids) -> Iterator[Pair]:
        """What is exported of these posts."""
        for start in range(0, len(ids), _IDS_A_READ):
            rows = self._connection.execute(
                f"SELECT {_PAIR} FROM pair WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
                [id_text(ids[start : start + _IDS_A_READ])],
            ).fetchall()
            yield from map(Pair._make, rows)

    def archives_of(self, ids: Ids) -> set[str]:
        """Keys of the archives that these posts came from, own folders aside."""
        rows = self._connection.execute(
            "SELECT DISTINCT archive FROM pair WHERE id IN (SELECT value FROM json_each(?)) AND archive NOT GLOB 'own *'",
            [id_text(ids)],
        )
        return {key.removesuffix(OTHERS) for (key,) in rows}

    def extensions(self) -> dict[str, int]:
        """How many exported images have each extension."""
        sums = ", ".join(f"COUNT(*) FILTER (WHERE path GLOB '*.{name}')" for name in EXTENSIONS)
        counts = self._connection.execute(f"SELECT {sums} FROM pair").fetchone()
        return {name: count for name, count in zip(EXTENSIONS, counts, strict=True) if count}

    def duplicates(self) -> int:
        """Images that are, byte for byte, those of another post with a smaller id."""
        counted = self._connection.execute("SELECT COUNT(*) - COUNT(DISTINCT sha256) FROM pair")
        return int(counted.fetchone()[0])

    def reasons(self, low: int, high: int) -> dict[int, tuple[str, str]]:
        """Why images of posts from `low` to `high` were not taken: status, `unfit` before `broken`, and reasons."""
        rows = self._connection.execute(
            "SELECT id, MAX(status), group_concat(reason, '; ') FROM "
            "(SELECT DISTINCT id, status, reason FROM broken WHERE id BETWEEN ? AND ? ORDER BY id, reason) GROUP BY id",
            [low, high],
        )
        return {post_id: (status, reason) for post_id, status, reason in rows}

    def rejects(self) -> Iterator[dict[str, Any]]:
        """Every member that no image was taken from, with its archive and the reason."""
        rows = self._connection.execute(
            "SELECT archive, member, reason FROM broken UNION ALL SELECT archive, member, reason FROM passed_name "
            "ORDER BY archive, member, reason"
        )
        for archive, member, reason in rows:
            yield {"archive": archive, "member": member, "reason": reason}

    def passed_over(self) -> dict[str, tuple[int, list[str]]]:
        """Members that no image was taken from, broken ones aside: by reason, how many and the first names."""
        rows = self._connection.execute(
            "SELECT reason, SUM(count) FROM passed_over GROUP BY reason ORDER BY reason"
        ).fetchall()
        names = "SELECT member FROM passed_name WHERE reason = ? ORDER BY archive, member LIMIT 3"
        return {
            reason: (count, [name for (name,) in self._connection.execute(names, [reason])])
            for reason, count in rows
        }

    def damaged(self) -> dict[str, str]:
        """Archives that could not be read to their end, and why."""
        rows = self._connection.execute("SELECT name, damage FROM archive WHERE damage > '' ORDER BY name")
        return {name.removesuffix(OTHERS): damage for name, damage in rows}

    def strays(self) -> dict[str, int]:
        """Archives that hold posts that their name does not tell of, and how many."""
        return dict(self._connection.execute("SELECT name, strays FROM archive WHERE strays > 0"))

    def _pairs(self, which: str, parameters: list[Any]) -> Iterator[Pair]:
        return map(
            Pair._make, self._connection.execute(f"SELECT {_PAIR} FROM pair WHERE {which}", parameters)
        )

    def _write(self, statement: str, rows: list[Any]) -> None:
        with nullcontext() if self._connection.in_transaction else self.change():
            self._connection.executemany(statement, rows)


def _column(rows: Iterable[tuple[int]]) -> Ids:
    return np.fromiter((number for (number,) in rows), np.int64)
