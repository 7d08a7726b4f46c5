"""Whether an export is what its manifest says: every file there, of the right size and contents, and no other."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.checks import CheckFiles, CheckShard, Problem, shard_of
from hakubooru.export.engine import checked_workers, engine
from hakubooru.export.manifest import MANIFEST, REJECTS, has_stored_sizes, read_manifest, sink_of
from hakubooru.export.orphans import PairFiles, Place, Shards, kind_of, unknown_files
from hakubooru.export.records import Pair
from hakubooru.export.sinks import SINKS
from hakubooru.export.sinks.listed import KohyaJsonSink, ListedSink
from hakubooru.image.own import own_number
from hakubooru.progress import progress
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
    """What a check of an export came to; `str()` says it in plain sentences."""

    out: Path
    pairs: int = 0
    """Pairs that the manifest tells of."""
    bad_ids: array[int] = field(default_factory=lambda: array("q"))
    """Those of them whose image is not what it tells, or whose shard is not; one can stand here twice."""
    bad_captions: array[int] = field(default_factory=lambda: array("q"))
    """Those of them whose caption, in a file of its own, is not what it tells."""
    problems: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """By what is wrong: how many files, and the first names."""
    orphans: list[str] = field(default_factory=list)
    """Images and captions that belong to no pair."""

    strays: list[str] = field(default_factory=list)
    """Other images, captions and shards, which no export writes there, and which could be trained on."""
    others: list[str] = field(default_factory=list)
    """Files of any other kind that the export does not know."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found that could be trained on and is not what the manifest says."""
        return not self.problems and not self.orphans and not self.strays

    def _others(self) -> str:
        return f"Other files ({_named(len(self.others), self.others[:_NAMED])})."

    def add(self, problem: Problem) -> None:
        """Take down what is wrong with a file."""
        if problem.id is not None:
            (self.bad_captions if problem.is_of_caption else self.bad_ids).append(problem.id)
        count, names = self.problems.get(problem.what, (0, []))
        self.problems[problem.what] = count + 1, sorted([*names, problem.path])[:_NAMED]

    def __str__(self) -> str:
        if self.is_good:
            last = ", and there is no file of any other." if not self.others else f".\n{self._others()}"
            return f"{self.out}: all {self.pairs:,} pairs are what the manifest says{last}"
        good = self.pairs - len({*self.bad_ids, *self.bad_captions})
        lines = [f"{self.out}: {good:,} of {self.pairs:,} pairs are what the manifest says."]
        found = [*sorted(self.problems.items())]
        if self.orphans:
            found.append(("file that belongs to no pair", (len(self.orphans), self.orphans[:_NAMED])))
        if self.strays:
            found.append(("file that no export wrote", (len(self.strays), self.strays[:_NAMED])))
        lines += [f"{what} ({_named(count, names)})" for what, (count, names) in found]
        if self.bad_captions:
            lines.append(
                "Captions that were corrected by hand stay when the export is run again, and are trained on; "
                "--repair takes the manifest's back."
            )
        if self.strays:
            lines.append(
                "Move away what is not to be trained on, or export it with --own; --repair leaves it."
            )
        if self.others:
            lines.append(self._others())
        return "\n".join(lines)


def _named(count: int, names: list[str]) -> str:
    return f"{count:,}: {', '.join(names)}{', …' if count > len(names) else ''}"


def verify(out: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> VerifyReport:
    """Compare the files of an export with its manifest; nothing is changed.

    Shards are read one after the other, and not in the order of the manifest: their pairs are put in order in the
    system's temporary folder, which needs room for the manifest's text.

    Args:
        out: the export's folder.
        decode: decode every image too.
        workers: processes that read; None is one for each core where images are decoded, and else one. In a script,
            more than one, or any that decodes, needs `if __name__ == "__main__":` around the call.

    Raises:
        DestinationError: there is no finished export.
    """
    out = Path(out)
    workers = checked_workers(workers, decodes=decode)
    if not (out / MANIFEST).is_file():
        raise DestinationError(f"{out} has no {MANIFEST}: it is no export, or one that was not finished")
    sink = SINKS[sink_of(out)](str(out))
    if sink.has_shards:
        return _verify_shards(out, decode=decode, workers=workers)
    return _verify_files(out, sink, decode=decode, workers=workers)


def wrong_ids(out: Path, pairs: Iterator[Pair], sink: Sink, workers: int = 1) -> tuple[set[int], set[int]]:
    """Those of some pairs of files whose image is not what the record says, and others whose caption is not.

    Args:
        out: the export's folder.
        pairs: any.
        sink: how it was written.
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
        for pairs in _exported(out):
            ids.append(np.array([pair.id for pair in pairs], np.int64))
            kinds.append(np.array([kind_of(pair.path) for pair in pairs], np.uint8))
            yield pairs

    work = CheckFiles(str(out), decode, sink.writes_captions, has_stored_sizes(out))
    _run(report, work, tasks(), workers)
    if isinstance(sink, ListedSink) and (wrong := _wrong_list(out, sink)):
        report.add(Problem(None, sink.file, wrong))
    known = np.concatenate([*ids, np.empty(0, np.int64)])
    order = np.argsort(known)
    kinds_of = np.concatenate([*kinds, np.empty(0, np.uint8)])[order]
    pairs = PairFiles(known[order], kinds_of, has_captions=sink.writes_captions)
    known_files = {MANIFEST, REJECTS, *([sink.file] if isinstance(sink, ListedSink) else [])}
    _tell_unknown(report, unknown_files(out, pairs, known_files))
    return report


def _wrong_list(out: Path, sink: ListedSink) -> str:
    """What is wrong with a list of captions, compared with the manifest."""
    if isinstance(sink, KohyaJsonSink) and (folder := sink.listed_folder()):
        if not _is_same(folder, out):
            return f"list names images in {folder}; a moved export has its list written again by --repair"
        sink.folder = folder
    lines = sink.lines(chain.from_iterable(_exported(out)))
    try:
        with (out / sink.file).open(encoding="utf-8", errors="replace", newline="\n") as file:
            same = all(file.read(len(line)) == line for line in lines) and not file.read(1)
    except (FileNotFoundError, IsADirectoryError):
        return "list is missing"
    except OSError as error:
        return f"list cannot be read ({error.strerror})"
    return "" if same else "list is not what the manifest says"


def _is_same(folder: str, out: Path) -> bool:
    try:
        return out.samefile(folder)
    except OSError:
        return False


def _verify_shards(out: Path, *, decode: bool, workers: int) -> VerifyReport:
    report = VerifyReport(out)
    known: set[str] = set()

    def tasks() -> Iterator[list[Pair]]:
        for some in _by_shard(_exported_by_path(out)):
            pairs = list(some)
            known.add(shard_of(pairs[0]))
            yield pairs

    _run(report, CheckShard(str(out), decode, has_stored_sizes(out)), tasks(), workers)
    _tell_unknown(report, unknown_files(out, Shards(known), {MANIFEST, REJECTS}))
    return report


def _tell_unknown(report: VerifyReport, files: Iterator[tuple[str, Place]]) -> None:
    lists = {Place.ORPHAN: report.orphans, Place.STRAY: report.strays, Place.OTHER: report.others}
    for name, place in files:
        lists[place].append(name)
    for names in lists.values():
        names.sort()


def _exported(out: Path) -> Iterator[list[Pair]]:
    """The pairs that a manifest tells of, some at a time."""
    for rows in read_manifest(out, ("status", "reason", "rating", *Pair._fields), _ROWS_A_TASK):
        yield [_pair(row) for row in rows if row["status"] == "exported"]


def _exported_by_path(out: Path) -> Iterator[Pair]:
    """The same, one by one, in the order of their paths."""
    columns = ", ".join(Pair._fields)
    # Without a name, SQLite's file is a temporary one, which goes with the connection.
    with closing(sqlite3.connect("", isolation_level=None)) as file, explained(Path(gettempdir())):
        file.execute("PRAGMA journal_mode = OFF")
        file.execute(f"CREATE TABLE pair ({columns})")
        file.execute("BEGIN")
        for pairs in _exported(out):
            file.executemany(f"INSERT INTO pair VALUES ({', '.join('?' * len(Pair._fields))})", pairs)
        file.execute("COMMIT")
        yield from map(Pair._make, file.execute(f"SELECT {columns} FROM pair ORDER BY path"))


def _by_shard(pairs: Iterator[Pair]) -> Iterator[Iterator[Pair]]:
    return (some for _, some in groupby(pairs, shard_of))


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
