"""Whether an export is what its manifest says: every file there, of the right size and contents, and no other."""

from __future__ import annotations

import hashlib
import io
import re
from array import array
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from tqdm import tqdm

from hakubooru.errors import DestinationError
from hakubooru.export.engine import StoppedError, checked_workers, engine
from hakubooru.export.journal import Journal
from hakubooru.export.manifest import MANIFEST
from hakubooru.export.records import Pair
from hakubooru.export.sinks import beside, place
from hakubooru.export.sinks.listed import LISTED, ListedSink
from hakubooru.export.sinks.webdataset import SHARDS
from hakubooru.image.convert import DAMAGES
from hakubooru.image.header import EXTENSIONS
from hakubooru.image.own import own_number
from hakubooru.image.tar import DamagedTarError, read_tar

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.sinks import Sink

_ROWS_A_TASK: Final = 500
_NAMED: Final = 3
_KINDS: Final = (*EXTENSIONS, "txt")
_OURS: Final = re.compile(rf"x\d{{3}}/([1-9]\d{{0,17}}|0)\.({'|'.join(_KINDS)})", re.ASCII)
_OWN: Final = re.compile(rf"own/[\w-]*-[0-9a-f]{{15}}\.(?:{'|'.join(_KINDS)})", re.ASCII)
_NO_NUMBER: Final = 2**63 - 1


class Problem(NamedTuple):
    """A file that is not what the manifest says."""

    id: int
    path: str
    what: str


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
            kinds.append(np.array([_kind(pair.path) for pair in pairs], np.uint8))
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
    report.orphans = sorted(_orphans(out, known[order], kinds_of, has_captions=has_captions))
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
                known.add(_shard(pairs[0]))
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
    return (some for _, some in groupby(pairs, _shard))


def _shard(pair: Pair) -> str:
    return pair.path.rpartition("/")[0]


def _pair(row: dict[str, Any]) -> Pair:
    if row["id"] is None:
        row["id"] = own_number(row["path"])
    return Pair(*(row[name] for name in Pair._fields))


def _run(report: VerifyReport, work: _Work, tasks: Iterator[list[Pair]], workers: int) -> None:
    with (
        engine(work, workers) as running,
        tqdm(unit=" pairs", unit_scale=True, disable=None) as bar,
    ):
        for count, problems in running.run(tasks):
            report.pairs += count
            for problem in problems:
                report.add(problem)
            bar.update(count)


def read_manifest(out: Path, columns: tuple[str, ...], rows_a_batch: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a manifest, some at a time.

    Raises:
        DestinationError: it is damaged.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while
    from pyarrow import parquet  # noqa: PLC0415

    path = out / MANIFEST
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(rows_a_batch, columns=list(columns)):
                yield batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DestinationError(f"{path} is damaged ({error}); export again into the same folder") from error


@dataclass(frozen=True)
class CheckFiles:
    """Compares files with their rows of the manifest; the work of an engine."""

    out: str
    decodes: bool
    has_captions: bool
    """Whether each image has a caption beside it."""

    def __call__(self, task: list[Pair], stopped: Callable[[], bool]) -> tuple[int, list[Problem]]:
        """Give the number of pairs and what is wrong with them."""
        problems: list[Problem] = []
        for pair in task:
            if stopped():
                raise StoppedError
            image = _read(Path(self.out, pair.path))
            problems += check_image(pair, image, decode=self.decodes)
            if self.has_captions and beside(pair.path) != pair.path:
                problems += check_caption(pair, _read(Path(self.out, beside(pair.path))))
        return len(task), problems


@dataclass(frozen=True)
class CheckShard:
    """Compares the members of one shard with its pairs; the work of an engine."""

    out: str
    decodes: bool

    def __call__(self, task: list[Pair], stopped: Callable[[], bool]) -> tuple[int, list[Problem]]:
        """Give the number of pairs and what is wrong with them."""
        shard = _shard(task[0])
        images = {pair.path.rpartition("/")[2]: pair for pair in task}
        captions = {beside(name): pair for name, pair in images.items()}
        problems: list[Problem] = []
        try:
            for member, data in read_tar(f"{self.out}/{shard}", lambda _: True):
                if stopped():
                    raise StoppedError
                if member.name in images:
                    problems += check_image(images.pop(member.name), data, decode=self.decodes)
                elif member.name in captions:
                    problems += check_caption(captions.pop(member.name), data)
                else:
                    name = f"{shard}/{member.name}"
                    problems.append(Problem(task[0].id, name, "member that belongs to no pair"))
        except FileNotFoundError:
            pass  # each of its images is told
        except DamagedTarError:
            problems.append(Problem(task[0].id, shard, "shard is damaged"))
        for pair in images.values():
            problems += check_image(pair, None, decode=False)
        for pair in captions.values():
            problems += check_caption(pair, None)
        return len(task), problems


_Work = CheckFiles | CheckShard


def check_image(pair: Pair, data: bytes | None, *, decode: bool) -> list[Problem]:
    """What is wrong with the image of a pair, or with the caption in its place, if anything."""
    what = "caption" if beside(pair.path) == pair.path else "image"
    if data is None:
        wrong = f"{what} is missing"
    elif len(data) != pair.bytes:
        wrong = f"{what} has another size"
    elif hashlib.sha256(data).hexdigest() != pair.sha256:
        wrong = f"{what} has other contents"
    else:
        wrong = _undecodable(data, pair.width, pair.height) if decode and what == "image" else ""
    return [Problem(pair.id, pair.path, wrong)] if wrong else []


def check_caption(pair: Pair, data: bytes | None) -> list[Problem]:
    """What is wrong with the caption of a pair, if anything."""
    if data == pair.caption.encode():
        return []
    return [
        Problem(pair.id, beside(pair.path), "caption is missing" if data is None else "caption is another")
    ]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _undecodable(data: bytes, width: int, height: int) -> str:
    from PIL import Image  # noqa: PLC0415 - only where decoding was asked for

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return "" if image.size == (width, height) else "image decodes to another width or height"
    except (Image.DecompressionBombError, *DAMAGES):
        return "image cannot be decoded"


def remove_orphans(out: Path, pairs: Iterator[Pair], *, has_captions: bool) -> None:
    """Remove images and captions that belong to no pair: those of archives whose export was killed.

    Args:
        out: the export's folder, of pairs of files.
        pairs: all that there are, ascending.
        has_captions: whether images have captions beside them.
    """
    ids, kinds = array("q"), bytearray()
    for pair in pairs:
        ids.append(pair.id)
        kinds.append(_kind(pair.path))
    known, kinds_of = np.array(ids, np.int64), np.frombuffer(kinds, np.uint8)
    for name in list(_orphans(out, known, kinds_of, has_captions=has_captions)):
        (out / name).unlink(missing_ok=True)


def _orphans(out: Path, ids: Ids, kinds: Any, *, has_captions: bool) -> Iterator[str]:
    """Images and captions in an export's subfolders that belong to no pair; other files are left alone.

    Args:
        out: the export's folder.
        ids: of its pairs, ascending.
        kinds: what each one's file is, as places in `_KINDS`.
        has_captions: whether images have captions beside them.
    """
    for folder in [*sorted(out.glob("x[0-9][0-9][0-9]")), *out.glob("own")]:
        for path in folder.iterdir():
            name = f"{folder.name}/{path.name}"
            number = _number_of(name)
            if number is None:
                continue
            at = int(np.searchsorted(ids, number))
            kind = _KINDS[kinds[at]] if at < len(ids) and ids[at] == number else ""
            if kind != path.suffix[1:] and not (has_captions and kind and path.suffix == ".txt"):
                yield name


def _number_of(name: str) -> int | None:
    """The number of the pair that a file belongs to, by its place; None for a file that is none of an export's."""
    if _OWN.fullmatch(name):
        return own_number(name)
    matched = _OURS.fullmatch(name)
    if matched is None:
        return None
    number = int(matched[1])
    # Of a post that does not belong into the folder no number is known.
    return number if place(number, matched[2]) == name else _NO_NUMBER


def _kind(path: str) -> int:
    return _KINDS.index(path.rpartition(".")[2])
