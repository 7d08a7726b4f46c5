"""`verify`: check that the files of an export are what its manifest says, and that there are no others."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.checks import CheckFiles, CheckShard, Problem, shard_of
from hakubooru.export.engine import checked_workers, engine
from hakubooru.export.inventory import Place, kind_of, place_in_pairs, place_in_shards, unknown_files
from hakubooru.export.manifest import MANIFEST, REJECTS, has_stored_sizes, read_manifest, sink_of
from hakubooru.export.pairs import Pair, own_number
from hakubooru.export.sinks import sink_class
from hakubooru.progress import progress
from hakubooru.quantity import quantity
from hakubooru.store.sqlite_errors import explained

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.sinks import Sink

_ROWS_A_TASK: Final = 500
_NAMED: Final = 3


@dataclass
class VerifyReport:
    """The result of a check of an export; `str()` says it in plain sentences."""

    out: Path
    """The export's folder."""
    pairs: int = 0
    """How many pairs the manifest has."""
    bad_ids: array[int] = field(default_factory=lambda: array("q"))
    """The pairs whose image or shard is not what the manifest says; an id may stand here twice."""
    bad_captions: array[int] = field(default_factory=lambda: array("q"))
    """The pairs whose caption file is not what the manifest says."""
    problems: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """How many files have each problem, and the first names."""
    orphans: list[str] = field(default_factory=list)
    """Files named as an export names images, captions and shards, that belong to no pair."""

    strays: list[str] = field(default_factory=list)
    """Images, captions and shards that no export writes there, but that a trainer would read."""
    others: list[str] = field(default_factory=list)
    """Files of other kinds that no export writes."""

    @property
    def is_good(self) -> bool:
        """Whether every file that a trainer would read is what the manifest says."""
        return not self.problems and not self.orphans and not self.strays

    def _others(self) -> str:
        return f"Other files ({_named(len(self.others), self.others[:_NAMED])})."

    def add(self, problem: Problem) -> None:
        """Add a problem of a file to the report."""
        if problem.id is not None:
            (self.bad_captions if problem.is_of_caption else self.bad_ids).append(problem.id)
        count, names = self.problems.get(problem.fault, (0, []))
        self.problems[problem.fault] = count + 1, sorted([*names, problem.path])[:_NAMED]

    def __str__(self) -> str:
        if self.is_good:
            last = ", and there are no other files." if not self.others else f".\n{self._others()}"
            every = "" if self.pairs == 1 else "all "
            return f"{self.out}: {every}{quantity(self.pairs, 'pair is', 'pairs are')} what the manifest says{last}"
        good = self.pairs - len({*self.bad_ids, *self.bad_captions})
        lines = [
            f"{self.out}: {good:,} of {quantity(self.pairs, 'pair')} {'is' if good == 1 else 'are'} what the manifest says."
        ]
        problems = [*sorted(self.problems.items())]
        if self.orphans:
            problems.append(("file that belongs to no pair", (len(self.orphans), self.orphans[:_NAMED])))
        if self.strays:
            problems.append(("file that no export wrote", (len(self.strays), self.strays[:_NAMED])))
        lines += [f"{what} ({_named(count, names)})" for what, (count, names) in problems]
        if self.bad_captions:
            lines.append(
                "Captions that were corrected by hand are trained on, and stay when the export is run again; "
                "--repair writes the manifest's captions again."
            )
        if self.strays:
            lines.append(
                "Move away the files that are not to be trained on, or export them with --own; --repair leaves them."
            )
        if self.others:
            lines.append(self._others())
        return "\n".join(lines)


def _named(count: int, names: list[str]) -> str:
    return f"{count:,}: {', '.join(names)}{', …' if count > len(names) else ''}"


def verify(out: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> VerifyReport:
    """Compare the files of an export with its manifest, and change nothing.

    Shards are read one after the other. Their pairs are sorted in the system's temporary folder, which needs room for
    the text of the manifest.

    Args:
        out: the export's folder.
        decode: decode every image too.
        workers: processes that read. None means one for each core with `decode`, else one.

    Raises:
        DestinationError: the folder holds no finished export.
    """
    out = Path(out)
    workers = checked_workers(workers, decodes=decode)
    if not (out / MANIFEST).is_file():
        raise DestinationError(
            f"{out} has no {MANIFEST}; name the folder of a finished export, or finish this one by running it again"
        )
    sink = sink_class(sink_of(out))(str(out))
    if sink.has_shards:
        return _verify_shards(out, decode=decode, workers=workers)
    return _verify_files(out, sink, decode=decode, workers=workers)


def wrong_ids(out: Path, pairs: Iterator[Pair], sink: Sink, workers: int) -> tuple[set[int], set[int]]:
    """Return the pairs whose image is not what the journal says, and those of which only the caption is not.

    Args:
        out: the export's folder.
        pairs: the pairs to check, of a sink that writes files.
        sink: the sink that the export was written to.
        workers: processes that read.
    """
    report = VerifyReport(out)
    batches = iter(lambda: list(islice(pairs, _ROWS_A_TASK)), [])
    _run(report, CheckFiles(str(out), decodes=False, has_captions=sink.writes_captions), batches, workers)
    return set(report.bad_ids), set(report.bad_captions).difference(report.bad_ids)


def _verify_files(out: Path, sink: Sink, *, decode: bool, workers: int) -> VerifyReport:
    report = VerifyReport(out)
    ids: list[Ids] = []
    kinds: list[Any] = []

    def tasks() -> Iterator[list[Pair]]:
        for pairs in exported(out):
            ids.append(np.array([pair.id for pair in pairs], np.int64))
            kinds.append(np.array([kind_of(pair.path) for pair in pairs], np.uint8))
            yield pairs

    work = CheckFiles(str(out), decode, sink.writes_captions, has_stored_sizes(out))
    _run(report, work, tasks(), workers)
    if sink.list_name and (wrong := sink.wrong_list(chain.from_iterable(exported(out)))):
        report.add(Problem(None, sink.list_name, wrong))
    all_ids = np.concatenate([*ids, np.empty(0, np.int64)])
    order = np.argsort(all_ids)
    kinds_of = np.concatenate([*kinds, np.empty(0, np.uint8)])[order]
    place_of = partial(place_in_pairs, ids=all_ids[order], kinds=kinds_of, has_captions=sink.writes_captions)
    lists = {MANIFEST, REJECTS, *filter(None, [sink.list_name])}
    _add_unknown(report, unknown_files(out, place_of, lists))
    return report


def _verify_shards(out: Path, *, decode: bool, workers: int) -> VerifyReport:
    report = VerifyReport(out)
    shards: set[str] = set()

    def tasks() -> Iterator[list[Pair]]:
        for _, some in groupby(_exported_by_path(out), shard_of):
            pairs = list(some)
            shards.add(shard_of(pairs[0]))
            yield pairs

    _run(report, CheckShard(str(out), decode, has_stored_sizes(out)), tasks(), workers)
    place_of = partial(place_in_shards, shards=shards)
    _add_unknown(report, unknown_files(out, place_of, {MANIFEST, REJECTS}))
    return report


def _add_unknown(report: VerifyReport, files: Iterator[tuple[str, Place]]) -> None:
    lists = {Place.ORPHAN: report.orphans, Place.STRAY: report.strays, Place.OTHER: report.others}
    for name, place in files:
        lists[place].append(name)
    for names in lists.values():
        names.sort()


def exported(out: Path) -> Iterator[list[Pair]]:
    """Yield the exported pairs of a manifest, some at a time."""
    for rows in read_manifest(out, ("status", "reason", "rating", *Pair._fields), _ROWS_A_TASK):
        yield [_pair(row) for row in rows if row["status"] == "exported"]


def _exported_by_path(out: Path) -> Iterator[Pair]:
    """Yield the exported pairs of a manifest one by one, in the order of their paths."""
    columns = ", ".join(Pair._fields)
    # A database without a name is a temporary file, which SQLite deletes with the connection.
    with closing(sqlite3.connect("", isolation_level=None)) as file, explained(Path(gettempdir())):
        file.execute("PRAGMA journal_mode = OFF")
        file.execute(f"CREATE TABLE pair ({columns})")
        file.execute("BEGIN")
        for pairs in exported(out):
            file.executemany(f"INSERT INTO pair VALUES ({', '.join('?' * len(Pair._fields))})", pairs)
        file.execute("COMMIT")
        yield from map(Pair._make, file.execute(f"SELECT {columns} FROM pair ORDER BY path"))


def _pair(row: dict[str, Any]) -> Pair:
    if row["id"] is None:
        row["id"] = own_number(row["path"])
    return Pair(*(row[name] for name in Pair._fields))


def _run(
    report: VerifyReport, work: CheckFiles | CheckShard, tasks: Iterator[list[Pair]], workers: int
) -> None:
    with (
        engine(work, workers) as running,
        progress(unit=" pairs", unit_scale=True) as bar,
    ):
        for count, problems in running.run(tasks):
            report.pairs += count
            for problem in problems:
                report.add(problem)
            bar.update(count)
