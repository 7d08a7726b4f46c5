"""`run_export`: an export from its first to its last step, with all arguments resolved."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.begun import go_on, write_origin
from hakubooru.export.corrections import finish, finished, is_corrected, keep_list, put_back, set_aside
from hakubooru.export.engine import Engine, Work, engine
from hakubooru.export.journal import Journal
from hakubooru.export.known import numbered
from hakubooru.export.manifest import MANIFEST, REJECTS, write_manifest, write_rejects
from hakubooru.export.orphans import remove_orphans
from hakubooru.export.others import lost_archives, tasks_for_others
from hakubooru.export.power import Disk
from hakubooru.export.records import Task
from hakubooru.export.report import ExportReport
from hakubooru.export.shards import cut, finish_moves
from hakubooru.export.sinks import STATE, WebDatasetSink
from hakubooru.export.sinks.webdataset import SPOOL
from hakubooru.export.verify import wrong_ids
from hakubooru.export.work import ExportArchive, ExportCaptions
from hakubooru.image.convert import COPY, ImageFormat
from hakubooru.image.decode import STORED_SIZES
from hakubooru.image.index import VERSION
from hakubooru.image.names import EVERYTHING
from hakubooru.image.sources import waves
from hakubooru.progress import progress
from hakubooru.store.sqlite_errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path
    from typing import Any, TypeAlias

    from tqdm import tqdm

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Outcome
    from hakubooru.export.sinks import Sink
    from hakubooru.export.work import CaptionsOfPosts
    from hakubooru.image.own import OwnFolder
    from hakubooru.image.sources import Archive
    from hakubooru.store.store import Store

    Start: TypeAlias = Callable[[Work[Task, Outcome], int], Engine[Task, Outcome]]
    """Returns the engine that runs the work, on a number of processes."""

COPIED_A_START: Final = 1000
"""Images that one process copies while another starts."""
DECODED_A_START: Final = 10
"""Images that one process converts while another starts."""
_CAPTIONS_A_TASK: Final = 5000
_UNDER_WAY: Final = "under way"
"""Name of the journal's value that says whether a run has begun and not ended."""
_READING: Final = "reading"
"""Name of the journal's value that says which version of the index has read the archives."""


def run_export(
    ids: Ids,
    out: Path,
    *,
    database: Store,
    archives: Sequence[Archive],
    roots: Sequence[str] = (),
    sink: Sink,
    captions: CaptionsOfPosts,
    settings: Mapping[str, str],
    own: Sequence[OwnFolder] = (),
    shape: ImageFormat = COPY,
    origin: str = "",
    prune: bool = False,
    workers: int = 1,
    start: Start = engine,
) -> ExportReport:
    """Export posts from archives to a sink, resume what was begun, and write the manifest of every post.

    Args:
        ids: the posts, ascending, each once.
        out: the export's folder.
        database: the posts' database.
        archives: the archives, in the order in which they count.
        roots: the places that were searched for archives.
        sink: takes the pairs.
        captions: gives the captions.
        settings: options that must be the same in every run into a folder, as text.
        own: folders of images without a post id, which are exported too.
        shape: which images are exported, and how they are converted.
        origin: the arguments of the export, as text, from which `repair` repeats it.
        prune: remove pairs of posts that are not in `ids`.
        workers: the most processes.
        start: starts the engine that runs the work.

    Raises:
        DestinationError: the folder cannot be used.
        IncompleteError: an archive could not be read, or a worker died.
    """
    _prepare(out)
    own_ids = [folder.ids for folder in own]
    ids = np.concatenate([np.sort(np.concatenate([*own_ids, np.empty(0, np.int64)])), ids])
    with Journal(out) as journal, explained(journal.path), Disk(journal) as disk:
        decoding = go_on(journal, out, settings, converts=shape.format is not None and sink.needs_images)
        sink.clean()
        if sink.has_shards:
            finish_moves(out, journal)
        archives = numbered(archives, roots, journal)
        other_database = _compared(database, journal)
        # A run that was killed may have left files that the journal does not have.
        was_cut_off = journal.remember(_UNDER_WAY, "yes") == "yes"
        if prune and not len(ids):
            raise DestinationError(
                f"no post is selected, so pruning would remove everything from {out}; select some posts"
            )
        if prune:
            _prune(ids, journal, sink)
        there, corrected = _take_up(ids, out, journal, sink, own=own, workers=workers)
        write_origin(journal, origin)
        settled = np.union1d(there, journal.twin_ids())
        run = _Run(journal, disk, archives, own, np.setdiff1d(ids, settled), sink)
        captions.prepare(ids[np.searchsorted(ids, 0) :])
        # Another process is only worth starting if it exports more than its start costs.
        images_a_start = DECODED_A_START if shape.decodes else COPIED_A_START
        worthwhile = min(workers, 1 + len(run.wanted) // images_a_start)
        work = (
            ExportArchive(sink, captions, shape, as_stored=decoding == STORED_SIZES)
            if sink.needs_images
            else ExportCaptions(sink, captions, database)
        )
        with (
            start(work, worthwhile) as running,
            progress(total=len(run.wanted), unit=" images", unit_scale=True) as bar,
        ):
            run.finish(running, bar)
            while (shape.duplicates == "drop" and run.drop_twins(ids)) or run.cut(out):
                run.finish(running, bar)
        sink.clean()  # a cluster goes on after a worker died, and the worker's unfinished files are still there
        put_back(out, journal)
        if was_cut_off:
            remove_orphans(out, journal.pairs(), sink)
        tally = write_manifest(out / MANIFEST, ids, database, journal, sink.name, decoding=decoding)
        write_rejects(out / REJECTS, journal)
        edited_list = keep_list(out, sink, journal)
        finish(out, sink, journal)
        journal.remember(_UNDER_WAY, "")
        return ExportReport(
            out=out,
            selected=len(ids),
            own=sum(map(len, own_ids)),
            exported=tally.exported,
            added=max(0, tally.exported - len(there)),
            bytes=tally.bytes,
            left_out=dict(sorted(tally.left_out.items(), key=lambda item: (-item[1], item[0]))),
            passed_over=journal.passed_over(),
            damaged=journal.damaged(),
            other_database=other_database,
            corrected=corrected,
            edited_list=edited_list,
            kinds_in_shards=journal.extensions() if sink.has_shards else {},
            duplicates=journal.duplicates() if sink.needs_images else 0,
        )


@dataclass
class _Run:
    """The work that remains, wave after wave."""

    journal: Journal
    disk: Disk
    archives: Sequence[Archive]
    own: Sequence[OwnFolder]
    wanted: Ids
    """Posts and own images that are not exported yet, ascending; fewer after each wave."""
    sink: Sink

    def finish(self, running: Engine[Task, Outcome], bar: tqdm[Any]) -> None:
        if not self.sink.needs_images:
            blocks = [
                self.wanted[at : at + _CAPTIONS_A_TASK] for at in range(0, len(self.wanted), _CAPTIONS_A_TASK)
            ]
            self._do(running, [Task(None, some, EVERYTHING, f"posts from {some[0]}") for some in blocks], bar)
            return
        for wave in waves(self.archives):
            self._do(running, [Task(a, a.claim.of(self._posts()), a.claim, a.key) for a in wave], bar)
        # Names may lie, so the archives are searched for missing posts. If none is missing, this is skipped: a small
        # selection need not read every archive.
        for tasks in tasks_for_others(self.archives, self._posts(), self.journal):
            self._do(running, [replace(task, wanted=self._still(task.wanted)) for task in tasks], bar)
        folders = [(folder, self._still(folder.ids)) for folder in self.own]
        self._do(running, [Task(folder, ids, EVERYTHING, folder.key) for folder, ids in folders], bar)

    def drop_twins(self, ids: Ids) -> bool:
        """Remove images that are equal to another; return whether images must be exported again because of it.

        Args:
            ids: all selected posts and own images.
        """
        if not self.sink.needs_images:
            return False
        again = self.journal.forget_twins(ids)
        # Files go first: after a kill in between, the lost images are exported and compared again.
        twins = self.journal.new_twins()
        for pair in self.journal.pairs_of(twins):
            self.sink.remove(pair)
        self.journal.set_aside(twins)
        self.wanted = np.union1d(self.wanted, again)
        return bool(len(again))

    def cut(self, out: Path) -> bool:
        """Move pairs into shards, if the sink has shards; return whether images must be exported again."""
        if not isinstance(self.sink, WebDatasetSink):
            return False
        lost = cut(out, self.journal, self.sink)
        self.journal.forget(lost)
        self.wanted = np.union1d(self.wanted, np.array(lost, np.int64))
        return bool(lost)

    def _still(self, ids: Ids) -> Ids:
        return np.intersect1d(ids, self.wanted, assume_unique=True)

    def _posts(self) -> Ids:
        return self.wanted[np.searchsorted(self.wanted, 0) :]

    def _do(self, running: Engine[Task, Outcome], tasks: Sequence[Task], bar: tqdm[Any]) -> None:
        done = dict(self.journal.done())
        open_tasks = [task for task in tasks if len(task.wanted) and done.get(task.key) != task.stamp]
        exported: list[Ids] = []
        lost: list[str] = []
        for outcome in running.run(open_tasks):
            if outcome.lost:
                lost.append(f"{outcome.key} ({outcome.lost})")
                continue
            self.journal.record(outcome)
            self.disk.wrote(outcome.key)
            exported.append(np.array([pair.id for pair in outcome.pairs], np.int64))
            bar.update(len(outcome.pairs))
        if lost:
            # Images of these archives count before those of later ones, so the export cannot go on without them.
            raise lost_archives(lost)
        if exported:
            self.wanted = np.setdiff1d(self.wanted, np.concatenate(exported), assume_unique=True)


def _prepare(out: Path) -> None:
    """Create the folder of an export, or check that it is one.

    Raises:
        DestinationError: the folder holds something else, or cannot be created.
    """
    try:
        if out.is_dir() and not (out / STATE).is_dir() and any(out.iterdir()):
            raise DestinationError(
                f"{out} is neither empty nor an export; choose another folder, or move its files away"
            )
        (out / STATE).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DestinationError(
            f"{out} cannot be written to: {error.strerror}; choose another folder"
        ) from error


def _compared(database: Store, journal: Journal) -> str:
    """Return how a database differs from the one that an export was begun with, by last post and tag; "" if it is equal."""
    ((post, tag),) = database.rows("SELECT (SELECT MAX(id) FROM post), (SELECT MAX(id) FROM tag)")
    now = f"last post {post}, last tag {tag}"
    before = journal.recall("database")
    if before is None:
        journal.remember("database", now)
    return "" if before in (None, now) else f"{before}; now {now}"


def _prune(ids: Ids, journal: Journal, sink: Sink) -> None:
    """Remove the pairs of posts that are not selected any more."""
    others = np.setdiff1d(journal.ids(), ids, assume_unique=True)
    for pair in journal.pairs_of(others):
        sink.remove(pair)
    journal.forget(others.tolist())
    journal.forget_broken(np.setdiff1d(journal.broken_ids(), ids, assume_unique=True))


def _take_up(
    ids: Ids, out: Path, journal: Journal, sink: Sink, *, own: Sequence[OwnFolder], workers: int
) -> tuple[Ids, int]:
    """Return which posts are exported already, and how many captions were corrected by hand.

    Pairs that were lost in a power cut, or removed by hand, are removed from the journal.

    Raises:
        DestinationError: the export holds posts that are not selected.
    """
    others = np.setdiff1d(journal.ids(), ids, assume_unique=True)
    if len(others):
        example = f"such as post {others[-1]}" if others[-1] >= 0 else "images of your own"
        raise DestinationError(
            f"{out} holds {len(others):,} posts that are not selected ({example}); "
            "select them too, remove them with --prune, or choose another folder"
        )
    corrected = _compare(out, journal, sink, workers)
    stamps = journal.stamps()
    for folder in own:
        if stamps.get(folder.key, folder.stamp) != folder.stamp:
            pairs = list(journal.pairs_of(journal.ids_of(folder.key)))
            if sink.writes_captions:
                set_aside(out, pairs)
            for pair in pairs:
                sink.remove(pair)
            journal.strike(folder.key)
    if journal.recall(_READING) != str(VERSION):
        # This version may read more from an archive than the earlier one did.
        journal.unlearn()
        journal.remember(_READING, str(VERSION))
    print_of_ids = hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()
    if journal.recall("selection") not in (None, print_of_ids):
        journal.reopen()
    # Recorded last: a run killed between the two would otherwise never read the archives again for the new posts.
    journal.remember("selection", print_of_ids)
    return journal.ids(), corrected


def _compare(out: Path, journal: Journal, sink: Sink, workers: int) -> int:
    """Remove pairs from the journal whose files are gone or damaged; return how many captions were corrected by hand."""
    since = finished(out)
    gone: set[int] = set()
    corrected: set[int] = set()
    for pair in journal.pairs():
        if not sink.holds(pair):
            gone.add(pair.id)
        elif sink.has_caption_files and is_corrected(out, pair, since):
            corrected.add(pair.id)
    aside = _strike(gone, out, journal, sink)
    if doubtful := journal.doubtful():
        pairs = journal.pairs_from(doubtful)
        if sink.has_shards:  # shards reach the disk before they are recorded; only the spool is doubtful
            images, captions = {pair.id for pair in pairs if pair.path.startswith(SPOOL)}, set[int]()
        else:
            images, captions = wrong_ids(out, pairs, sink, workers)
        aside += _strike(images | (captions - corrected), out, journal, sink)
        corrected -= images
        journal.trust(doubtful)
    return len(corrected) + aside


def _strike(ids: Collection[int], out: Path, journal: Journal, sink: Sink) -> int:
    """Remove pairs from the journal, to export them again; set corrected captions aside and return how many."""
    pairs = journal.pairs_of(np.array(sorted(ids), np.int64))
    count = set_aside(out, pairs) if sink.has_caption_files else 0
    journal.forget(ids)
    return count
