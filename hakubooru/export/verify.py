"""Whether an export is what its manifest says: every file there, of the right size and contents, and no other."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tqdm import tqdm

from hakubooru.errors import DestinationError
from hakubooru.export.checks import CheckFiles, CheckShard, Problem, shard_of
from hakubooru.export.engine import checked_workers, engine
from hakubooru.export.journal import Journal
from hakubooru.export.manifest import MANIFEST, read_manifest
from hakubooru.export.orphans import kind_of, orphans
from hakubooru.export.records import Pair
from hakubooru.export.sinks.listed import LISTED, ListedSink
from hakubooru.export.sinks.webdataset import SHARDS
from hakubooru.image.own import own_number

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.sinks import Sink

_ROWS_A_TASK: Final = 500
_NAMED: Final = 3
_NO_NUMBER: Final = 2**63 - 1


@dataclass
class VerifyReport:
    """What a check of an export came to; `str()` says it in plain sentences."""

    out: Path
    pairs: int = 0
    """Pairs that the manifest tells of."""
    bad_ids: array[int] = field(default_factory=lambda: array("q"))
    """Those of them that are not what it tells; a post with two bad files stands here twice."""
    problems: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """By what is wrong: how many files, and the first names."""
    orphans: list[str] = field(default_factory=list)
    """Images and captions that belong to no pair."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.problems and not self.orphans

    def add(self, problem: Problem) -> None:
        """Take down what is wrong with a file."""
        self.bad_ids.append(problem.id)
        count, names = self.problems.get(problem.what, (0, []))
        self.problems[problem.what] = count + 1, sorted([*names, problem.path])[:_NAMED]

    def __str__(self) -> str:
        if self.is_good:
            return (
                f"{self.out}: all {self.pairs:,} pairs are what the manifest says, and there is nothing else."
            )
        good = self.pairs - len(set(self.bad_ids))
        lines = [f"{self.out}: {good:,} of {self.pairs:,} pairs are what the manifest says."]
        found = [*sorted(self.problems.items())]
        if self.orphans:
            found.append(("file that belongs to no pair", (len(self.orphans), self.orphans[:_NAMED])))
        for what, (count, names) in found:
            lines.append(f"{what} ({count:,}: {', '.join(names)}{', …' if count > len(names) else ''})")
        return "\n".join(lines)


def verify(out: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> VerifyReport:
    """Compare the files of an export with its manifest; nothing is changed.

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
    if (out / SHARDS).is_dir():
        return _verify_shards(out, decode=decode, workers=workers)
    return _verify_files(out, decode=decode, workers=workers)


def wrong_ids(out: Path, pairs: Iterator[Pair], sink: Sink, workers: int = 1) -> set[int]:
    """Those of some pairs whose files are not what the record says.

    Args:
        out: the export's folder.
        pairs: shard after shard, where there are shards.
        sink: how it was written.
        workers: processes that read.
    """
    report = VerifyReport(out)
    if sink.holds_archives:
        _run(report, CheckShard(str(out), decodes=False), map(list, _by_shard(pairs)), workers)
    else:
        batches = iter(lambda: list(islice(pairs, _ROWS_A_TASK)), [])
        _run(
            report, CheckFiles(str(out), decodes=False, has_captions=sink.name == "folder"), batches, workers
        )
    return set(report.bad_ids)


def _verify_files(out: Path, *, decode: bool, workers: int) -> VerifyReport:
    report = VerifyReport(out)
    ids: list[Ids] = []
    kinds: list[Any] = []

    def tasks() -> Iterator[list[Pair]]:
        for rows in read_manifest(out, ("status", *Pair._fields), _ROWS_A_TASK):
            pairs = [_pair(row) for row in rows if row["status"] == "exported"]
            ids.append(np.array([pair.id for pair in pairs], np.int64))
            kinds.append(np.array([kind_of(pair.path) for pair in pairs], np.uint8))
            yield pairs

    listed = [sink for sink in LISTED if (out / sink.file).exists()]
    has_captions = not listed
    _run(report, CheckFiles(str(out), decode, has_captions), tasks(), workers)
    for sink in listed:
        if not _is_list_of(out, sink):
            report.add(Problem(_NO_NUMBER, sink.file, "list is not what the manifest says"))
    known = np.concatenate([*ids, np.empty(0, np.int64)])
    order = np.argsort(known)
    kinds_of = np.concatenate([*kinds, np.empty(0, np.uint8)])[order]
    report.orphans = sorted(orphans(out, known[order], kinds_of, has_captions=has_captions))
    return report


def _is_list_of(out: Path, sink: type[ListedSink]) -> bool:
    """Whether a list of captions has what the manifest has."""
    pairs = (
        _pair(row)
        for rows in read_manifest(out, ("status", *Pair._fields), _ROWS_A_TASK)
        for row in rows
        if row["status"] == "exported"
    )
    with (out / sink.file).open(encoding="utf-8", errors="replace", newline="\n") as file:
        same = all(file.read(len(line)) == line for line in sink.lines(pairs))
        return same and not file.read(1)


def _verify_shards(out: Path, *, decode: bool, workers: int) -> VerifyReport:
    report = VerifyReport(out)
    known: set[str] = set()

    def tasks() -> Iterator[list[Pair]]:
        with Journal(out) as journal:
            for some in _by_shard(journal.pairs_by_path()):
                pairs = list(some)
                known.add(shard_of(pairs[0]))
                yield pairs

    _run(report, CheckShard(str(out), decode), tasks(), workers)
    told = sum(
        row["status"] == "exported" for rows in read_manifest(out, ("status",), 100_000) for row in rows
    )
    if told != report.pairs:
        report.add(
            Problem(_NO_NUMBER, MANIFEST, f"manifest tells of {told:,} pairs, the record of {report.pairs:,}")
        )
    there = {f"{SHARDS}/{path.name}" for path in (out / SHARDS).glob("*.tar")}
    report.orphans = sorted(there - known)
    return report


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
        tqdm(unit=" pairs", unit_scale=True, disable=None) as bar,
    ):
        for count, problems in running.run(tasks):
            report.pairs += count
            for problem in problems:
                report.add(problem)
            bar.update(count)
