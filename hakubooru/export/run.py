"""`run_export`: an export from its first to its last step, with all arguments resolved.

Surviving a power cut: a written file reaches the disk some seconds later, and waiting for the disk after every file would
take many times as long as writing it. So the journal records in which run of the machine each archive was exported, and
`Disk` flushes everything written so far from time to time. An export that resumes after a restart of the machine compares
the files of every archive that may not have been flushed with their hashes, and exports again what is not whole.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from hakubooru.arrays import distinct
from hakubooru.export.archive import ExportArchive
from hakubooru.export.corrections import keep_list, put_back, write_list
from hakubooru.export.engine import Engine, Work, engine, seldom_collecting
from hakubooru.export.journal import Journal
from hakubooru.export.manifest import MANIFEST, REJECTS, write_manifest, write_rejects
from hakubooru.export.pairs import STATE, Task, prefix_of
from hakubooru.export.plan import Job, hashes_of, lost_archives, tasks_by_name, tasks_for_others
from hakubooru.export.resumption import UNDER_WAY, Resumed, prepare_folder, resume
from hakubooru.image.decode import STORED_SIZES
from hakubooru.image.layouts import EVERYTHING
from hakubooru.image.sources import waves
from hakubooru.progress import progress
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from hakubooru.arrays import Ids
    from hakubooru.export.pairs import Outcome
    from hakubooru.image.layouts import Hashes
    from hakubooru.image.sources import Archive
    from hakubooru.progress import Bar

    Start: TypeAlias = Callable[[Work[Task, Outcome], int], Engine[Task, Outcome]]
    """Returns the engine that runs the work, on a number of processes."""

_COPIED_A_START: Final = 1000
"""Images that one process copies while another starts."""
_DECODED_A_START: Final = 10
"""Images that one process converts while another starts."""
_SECONDS_UNFLUSHED: Final = 60.0
"""Seconds between two flushes."""
_CAPTIONS_A_TASK: Final = 5000
_PAIRS_A_RECORD: Final = 500
"""Pairs whose archives are recorded in one transaction; a transaction takes as long as the rows of a dozen pairs."""
_SECONDS_UNRECORDED: Final = 1.0
"""After this time, archives are recorded however few pairs they gave: a kill undoes no more than that."""
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportReport:
    """The result of an export; `str()` says it in plain sentences."""

    out: Path
    selected: int
    """How many posts and images of your own were selected."""
    own: int
    """How many of `selected` are your own images."""
    exported: int
    """How many of `selected` are in the export now."""
    added: int
    """How many of `exported` this run added."""
    bytes: int
    """Bytes of the exported images without captions; bytes of the captions if only captions are exported."""
    left_out: dict[str, int]
    """Posts that are not in the export, by reason, the most frequent first."""
    passed_over: dict[str, tuple[int, list[str]]]
    """Members of archives that are not images of posts: how many and the first names, by reason."""
    damaged: dict[str, str]
    """Archives that could not be read to their end, and why."""
    other_database: str
    """How the database differs from the one that the export was begun with; "" if it does not."""
    edited_list: str
    """The name of the kept copy of a list of captions that was edited by hand; "" if the list was not edited."""
    kinds_in_shards: dict[str, int]
    """Images in shards by extension; empty if the export has no shards."""
    corrected: int
    """Captions that were corrected by hand; an export keeps them."""
    aside: int
    """Corrected captions of posts that were pruned; they lie in `.hakubooru/corrections` of the export."""
    duplicates: int
    """Exported images that are equal, byte for byte, to one of a post with a smaller id."""

    def __str__(self) -> str:
        kinds = ["post" if self.selected == 1 else "posts"] * (self.selected > self.own)
        noun = " and ".join(kinds + ["images of your own"] * (self.own > 0)) or "posts"
        lines = [
            f"{self.exported:,} of {self.selected:,} {noun} {'is' if self.exported == 1 else 'are'} in {self.out}{self._how_much()}."
        ]
        if self.left_out:
            reasons = ", ".join(f"{reason} ({count:,})" for reason, count in self.left_out.items())
            lines.append(f"Left out: {reasons}.")
        if self.duplicates:
            lines.append(
                f"{quantity(self.duplicates, 'image equals', 'images equal')} another image byte for byte (see sha256 in the manifest)."
            )
        if self.edited_list:
            lines.append(
                f"The list of captions was edited by hand and has been written again; your copy is {self.edited_list}."
            )
        if len(self.kinds_in_shards) > 1:
            formats = ", ".join(f"{name} ({count:,})" for name, count in self.kinds_in_shards.items())
            lines.append(
                f"The shards hold {formats}: `datasets` takes its columns from the first images and gives None for images "
                "of another kind. For `datasets`, convert all images to one kind (a recipe's [image] format = "
                '"webp"). `webdataset` reads all kinds.'
            )
        if self.corrected:
            lines.append(
                f"{quantity(self.corrected, 'caption was', 'captions were')} corrected by hand "
                f"and kept; `hakubooru verify {self.out} --repair` writes the manifest's captions again."
            )
        if self.aside:
            lines.append(
                f"{quantity(self.aside, 'corrected caption')} of pruned posts "
                f"{'is' if self.aside == 1 else 'are'} kept in {self.out / STATE / 'corrections'}, and "
                f"{'comes' if self.aside == 1 else 'come'} back if these posts are selected again."
            )
        if self.passed_over:
            members = "; ".join(
                f"{reason} ({count:,}: {', '.join(map(_shown, names))}{', …' if count > len(names) else ''})"
                for reason, (count, names) in self.passed_over.items()
            )
            lines.append(f"Passed over in the archives: {members}.")
        if self.other_database:
            lines.append(
                f"The database has changed since this export was begun: {self.other_database}. Captions written "
                "before stay as they are; to caption all posts from the new database, export into another folder."
            )
        lines += [
            f"Archive {name} {damage}; the images before that place were used."
            for name, damage in self.damaged.items()
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(line)}</p>" for line in str(self).splitlines())

    def _how_much(self) -> str:
        earlier = self.exported - self.added
        return f" ({_size(self.bytes)}{f'; {earlier:,} were there before' if earlier else ''})"


def run_export(
    job: Job, *, workers: int = 1, start: Start = engine, seconds_unflushed: float = _SECONDS_UNFLUSHED
) -> ExportReport:
    """Export posts from archives to a sink, resume what was begun, and write the manifest of every post.

    Args:
        job: what is exported, from where, and how.
        workers: the most processes.
        start: starts the engine that runs the work.
        seconds_unflushed: how many seconds pass between two flushes of what was written.

    Raises:
        DestinationError: the folder cannot be used.
        IncompleteError: an archive could not be read, or a worker died.
    """
    prepare_folder(job.out)
    with Journal(job.out) as journal, Disk(journal, seconds_unflushed) as disk, seldom_collecting():
        resumed = resume(job, journal, workers)
        _export(job, resumed, journal, disk, start=start, workers=workers)
        return _finish(job, resumed, journal)


def _export(job: Job, resumed: Resumed, journal: Journal, disk: Disk, *, start: Start, workers: int) -> None:
    """Export what is not there yet."""
    settled = np.concatenate([resumed.exported, journal.twin_ids()])
    wanted = np.setdiff1d(job.numbers, settled, assume_unique=True)
    hashes = hashes_of(resumed.archives, job.database, wanted[np.searchsorted(wanted, 0) :])
    run = _Run(job, resumed.archives, hashes, journal, disk, wanted)
    job.captions.prepare(job.ids)
    # Another process is only worth starting if it exports more than its start costs.
    images_a_start = _DECODED_A_START if job.shape.decodes else _COPIED_A_START
    worthwhile = min(workers, 1 + len(run.wanted) // images_a_start)
    with (
        start(_work(job, resumed), worthwhile) as running,
        progress(total=len(run.wanted), unit=" images", unit_scale=True) as bar,
    ):
        run.finish(running, bar)
        while (job.shape.duplicates == "drop" and run.drop_twins()) or run.arrange():
            run.finish(running, bar)


def _work(job: Job, resumed: Resumed) -> Work[Task, Outcome]:
    if job.sink.needs_images:
        return ExportArchive(
            job.sink,
            job.captions,
            job.shape,
            as_stored=resumed.decoding == STORED_SIZES,
            prefix=prefix_of(job.database.about.site),
        )
    from hakubooru.export.texts import ExportCaptions  # noqa: PLC0415 - needed only without images

    return ExportCaptions(job.sink, job.captions, job.database)


def _finish(job: Job, resumed: Resumed, journal: Journal) -> ExportReport:
    """Write the manifest and the lists, when all pairs are there."""
    out, sink = job.out, job.sink
    sink.clean()  # a cluster goes on after a worker died, and the worker's unfinished files are still there
    put_back(out, journal)
    if resumed.was_cut_off:
        from hakubooru.export.inventory import remove_orphans  # noqa: PLC0415 - needed only after a kill

        remove_orphans(out, journal.pairs(), sink)
    tally = write_manifest(
        out / MANIFEST, job.numbers, job.database, journal, sink.name, decoding=resumed.decoding
    )
    write_rejects(out / REJECTS, journal)
    edited_list = keep_list(out, sink, journal)
    write_list(out, sink, journal)
    journal.remember(UNDER_WAY, "")
    return ExportReport(
        out=out,
        selected=len(job.numbers),
        own=len(job.numbers) - len(job.ids),
        exported=tally.exported,
        added=max(0, tally.exported - len(resumed.exported)),
        bytes=tally.bytes,
        left_out=dict(sorted(tally.left_out.items(), key=lambda item: (-item[1], item[0]))),
        passed_over=journal.passed_over(),
        damaged=journal.damaged(),
        other_database=resumed.other_database,
        corrected=resumed.corrected,
        aside=resumed.aside,
        edited_list=edited_list,
        kinds_in_shards=journal.extensions() if sink.has_shards else {},
        duplicates=journal.duplicates() if sink.needs_images else 0,
    )


@dataclass
class _Run:
    """The work that remains, wave after wave."""

    job: Job
    archives: Sequence[Archive]
    hashes: Mapping[str, Hashes]
    """The posts of images that are named by their MD5, by the keys of their archives."""
    journal: Journal
    disk: Disk
    wanted: Ids
    """Posts and own images that are not exported yet, ascending; fewer after each wave."""

    def finish(self, running: Engine[Task, Outcome], bar: Bar) -> None:
        stamps = dict(self.journal.done())  # no task comes twice
        if not self.job.sink.needs_images:
            blocks = [
                self.wanted[at : at + _CAPTIONS_A_TASK] for at in range(0, len(self.wanted), _CAPTIONS_A_TASK)
            ]
            tasks = [Task(None, some, EVERYTHING, f"posts from {some[0]}", 0) for some in blocks]
            self._do(running, tasks, stamps, bar)
            return
        for wave in waves(self.archives):
            self._do(running, tasks_by_name(wave, self._posts(), self.hashes), stamps, bar)
        # Names may lie, so the archives are searched for missing posts. If none is missing, this is skipped: a small
        # selection need not read every archive.
        if not len(self.wanted):
            return
        for tasks in tasks_for_others(self.archives, self._posts(), self.journal):
            self._do(running, [replace(task, wanted=self._still(task.wanted)) for task in tasks], stamps, bar)
        folders = [(folder, self._still(folder.ids)) for folder in self.job.own]
        tasks = [Task(folder, ids, EVERYTHING, folder.key, folder.stamp) for folder, ids in folders]
        self._do(running, tasks, stamps, bar)

    def drop_twins(self) -> bool:
        """Remove images that are equal to another; return whether images must be exported again because of it."""
        if not self.job.sink.needs_images:
            return False
        again = self.journal.forget_twins(self.job.numbers)
        # Files go first: after a kill in between, the lost images are exported and compared again.
        twins = self.journal.new_twins()
        for pair in self.journal.pairs_of(twins):
            self.job.sink.remove(pair)
        self.journal.set_aside(twins)
        self.wanted = distinct(np.concatenate([self.wanted, again]))
        return bool(len(again))

    def arrange(self) -> bool:
        """Let the sink move all pairs to where they belong; return whether images must be exported again."""
        lost = self.job.sink.arrange(self.journal)
        if not lost:
            return False
        self.journal.forget(lost)
        self.wanted = distinct(np.concatenate([self.wanted, np.array(lost, np.int64)]))
        return True

    def _still(self, ids: Ids) -> Ids:
        return np.intersect1d(ids, self.wanted, assume_unique=True)

    def _posts(self) -> Ids:
        return self.wanted[np.searchsorted(self.wanted, 0) :]

    def _do(
        self, running: Engine[Task, Outcome], tasks: Sequence[Task], stamps: Mapping[str, int], bar: Bar
    ) -> None:
        open_tasks = [task for task in tasks if len(task.wanted) and stamps.get(task.key) != task.stamp]
        waiting: list[Outcome] = []
        exported: list[Ids] = []
        lost: list[str] = []
        last = time.monotonic()
        try:
            for outcome in running.run(open_tasks):
                if outcome.lost:
                    lost.append(f"{outcome.key} ({outcome.lost})")
                    continue
                waiting.append(outcome)
                exported.append(np.array([pair.id for pair in outcome.pairs], np.int64))
                bar.update(len(outcome.pairs))
                is_time = time.monotonic() - last > _SECONDS_UNRECORDED
                if is_time or sum(map(len, exported[-len(waiting) :])) >= _PAIRS_A_RECORD:
                    self._record(waiting)
                    last = time.monotonic()
        finally:
            self._record(waiting)
        if lost:
            # Images of these archives count before those of later ones, so the export cannot go on without them.
            raise lost_archives(lost)
        if exported:
            self.wanted = np.setdiff1d(self.wanted, np.concatenate(exported), assume_unique=True)

    def _record(self, waiting: list[Outcome]) -> None:
        """Record outcomes, and take them off the list."""
        if not waiting:
            return
        some, waiting[:] = list(waiting), []
        self.journal.record(*some)
        self.disk.wrote(one.key for one in some)


class Disk:
    """Flushes what an export wrote to the disk, in the background; used in a `with` statement."""

    def __init__(self, journal: Journal, seconds: float) -> None:
        """Begin with nothing to flush.

        Args:
            journal: the journal of the export.
            seconds: how many seconds pass between two flushes.
        """
        self.journal = journal
        self.seconds = seconds
        self._written: list[str] = []
        self._underway: tuple[Future[None], list[str]] | None = None
        self._last = time.monotonic()
        self._thread = ThreadPoolExecutor(1)

    def wrote(self, keys: Iterable[str]) -> None:
        """Note that archives were exported and recorded; start a flush if one is due."""
        self._written.extend(keys)
        if self._underway is not None and self._underway[0].done():
            self.journal.trust(self._underway[1])
            self._underway = None
        is_time = time.monotonic() - self._last >= self.seconds
        if is_time and self._underway is None and hasattr(os, "sync"):
            self._underway = self._thread.submit(os.sync), self._written
            self._written = []
            self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # No need to wait for a running flush: the next run checks the files that it was to flush.
        self._thread.shutdown(wait=False)


def _shown(name: str) -> str:
    """Return a name from an archive without characters that control a terminal, and not too long."""
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
