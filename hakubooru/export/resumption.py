"""Taking up what earlier runs left in the folder of an export: its options, its pairs, and the places of its archives."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.caption.format import LATER_FIELDS
from hakubooru.engine.cache import count_changes
from hakubooru.errors import DestinationError
from hakubooru.export.corrections import finished, is_corrected, set_aside
from hakubooru.export.pairs import STATE
from hakubooru.image.decode import DECODE_CHANGES, DECODE_VERSION
from hakubooru.image.index import VERSION
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.journal import Journal
    from hakubooru.export.plan import Job
    from hakubooru.export.sinks import Sink
    from hakubooru.image.sources import Archive
    from hakubooru.store.store import Store

_ORIGIN: Final = "origin"
_DECODING: Final = "decoding"
_BEFORE_DECODING: Final = 1
"""The version of decoding of exports whose journal does not record one, because an earlier version began them."""
_EARLIER: Final = {
    "caption.repeats": "true",
    "output.shards": '"of one archive each"',
    "image.subsampling": '"4:2:0"',
    **{f"caption.{field}": "null" for field in LATER_FIELDS},
}
"""Settings of exports whose journal does not record them, because an earlier version began them."""
_NO_OPTIONS: Final = {"output.shards", "image.subsampling"}
"""Settings among them that no export of this version can be given."""
_SHOWN: Final = 3
"""How many settings that differ are shown with their values; of more, such as those of another preset, only the names."""
UNDER_WAY: Final = "under way"
"""Name of the journal's value that says whether a run has begun and not ended."""
_READING: Final = "reading"
"""Name of the journal's value that says which version of the index has read the archives."""
_ROOTS: Final = "roots"
"""Name of the journal's value that lists the places that were searched for archives, as JSON."""
_DATABASE: Final = "database"
"""Name of the journal's value that says which state of the database the export was begun with."""
_SELECTION: Final = "selection"
"""Name of the journal's value that holds the fingerprint of the selected posts."""


@dataclass(frozen=True)
class Resumed:
    """What a run takes up from the runs before it."""

    archives: Sequence[Archive]
    """The archives, with the numbers that the journal has for their places."""
    exported: Ids
    """The posts and own images that are exported already, ascending."""
    corrected: int
    """How many captions were corrected by hand."""
    aside: int
    """How many corrected captions were set aside because their posts are not selected any more."""
    decoding: int
    """The version of decoding that the export was begun with."""
    was_cut_off: bool
    """Whether the last run did not reach its end; it may have left files that the journal does not have."""
    other_database: str
    """How the database differs from the one that the export was begun with; "" if it does not."""


def resume(job: Job, journal: Journal, workers: int) -> Resumed:
    """Check that an export can go on, and take up what is there.

    Raises:
        DestinationError: the folder cannot be used for this job.
    """
    sink = job.sink
    if job.prune and not len(job.numbers):
        raise DestinationError(
            f"no post is selected, so pruning would remove everything from {job.out}; select some posts"
        )
    if not journal.settings:
        return _begin(job, journal)
    decoding = go_on(
        journal, job.out, job.settings, converts=job.shape.format is not None and sink.needs_images
    )
    sink.clean()
    sink.recover(journal)
    archives = numbered(job.archives, job.roots, journal)
    other_database = database_change(job.database, journal)
    was_cut_off = journal.remember(UNDER_WAY, "yes") == "yes"
    aside = prune(job, journal) if job.prune else 0
    exported, corrected = take_up(job, journal, workers)
    # A file that is written over in place leaves its folder's stamp as it was.
    journal.retry({archive.key for archive in archives if archive.is_folder})
    journal.remember(_ORIGIN, job.origin)
    return Resumed(archives, exported, corrected, aside, decoding, was_cut_off, other_database)


def _begin(job: Job, journal: Journal) -> Resumed:
    """Record a new export, in full or not at all: there is nothing to take up."""
    journal.settle(
        {
            **job.settings,
            _DECODING: str(DECODE_VERSION),
            _ROOTS: json.dumps(list(job.roots)),
            _DATABASE: ", ".join(_state_of(job.database)),
            _READING: str(VERSION),
            _SELECTION: _print_of(job.numbers),
            _ORIGIN: job.origin,
            UNDER_WAY: "yes",
        }
    )
    job.sink.clean()
    return Resumed(
        job.archives,
        exported=np.empty(0, np.int64),
        corrected=0,
        aside=0,
        decoding=DECODE_VERSION,
        was_cut_off=False,
        other_database="",
    )


def prepare_folder(out: Path) -> None:
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


def go_on(journal: Journal, out: Path, settings: Mapping[str, str], *, converts: bool) -> int:
    """Check that an export can go on with these settings, and record those that an earlier version did not have.

    Args:
        journal: the journal of the export, which has begun.
        out: the folder of the export, for messages.
        settings: the options that the files depend on, besides posts and archives, as JSON by name.
        converts: whether the export writes images anew.

    Returns:
        the version of decoding that the export was begun with.

    Raises:
        DestinationError: the export was begun with other settings, or it converts images and was begun by a version
            that decoded them in another way.
    """
    before = journal.settings
    decoding = int(before.get(_DECODING, _BEFORE_DECODING))
    if converts and decoding != DECODE_VERSION:
        raise DestinationError(
            f"{out} was begun by an earlier version of hakubooru. Since then, {DECODE_CHANGES}. Choose another "
            "folder, so that all images are decoded in one way, or use that version"
        )
    _check_settings(before, settings, out)
    journal.settle({_DECODING: str(decoding), **settings})
    return decoding


def _check_settings(before: Mapping[str, str], settings: Mapping[str, str], out: Path) -> None:
    tables = {name.partition(".")[0] for name in before}
    earlier = {name: value for name, value in _EARLIER.items() if name.partition(".")[0] in tables}
    recorded, before = before, earlier | dict(before)
    differing = [name for name, value in settings.items() if before.get(name, value) != value]
    if not differing:
        return
    # What is not recorded may belong to another sink.
    differing = [name for name in differing if name in recorded] or differing
    version = "" if recorded.keys() >= set(differing) else " by an earlier version of hakubooru"
    changes = ", ".join(differing)
    if len(differing) <= _SHOWN:
        changes = "; ".join(f"{name} was {before[name]} and is now {settings[name]}" for name in differing)
    mend = "use that version" if _NO_OPTIONS.intersection(differing) else "use the earlier options"
    if len(differing) <= _SHOWN and all(name in before and name.startswith("caption.") for name in differing):
        mend += " (" + " ".join("--set " + shlex.quote(f"{name}={before[name]}") for name in differing) + ")"
    raise DestinationError(
        f"{out} was begun{version} with other options: {changes}; {mend}, or choose another folder"
    )


def read_origin(journal: Journal) -> dict[str, Any] | None:
    """Return the recorded sources of an export, as a table; None if none are recorded."""
    text = journal.settings.get(_ORIGIN)
    if text is None:
        return None
    origin: dict[str, Any] = json.loads(text)
    origin["caption"].setdefault("repeats", json.loads(_EARLIER["caption.repeats"]))
    return origin


def numbered(archives: Sequence[Archive], roots: Sequence[str], journal: Journal) -> list[Archive]:
    """Return archives with the numbers that the journal has for their places, in whatever order these come now.

    A place that the journal does not have takes the number of the earlier place at its position, if that one is gone:
    the place was moved. Otherwise the place is new and gets a new number.

    Args:
        archives: in the order in which they count; the order stays.
        roots: the places that were searched for the archives.
        journal: the export's journal; new places are recorded there.
    """
    places: list[str] = json.loads(journal.settings.get(_ROOTS) or "[]")
    numbers: dict[int, int] = {}
    for position, root in enumerate(roots):
        places_of_root = (at for at, name in enumerate(places) if name == root and at not in numbers.values())
        if (number := next(places_of_root, None)) is not None:
            numbers[position] = number
    for position, root in enumerate(roots):
        if position in numbers:
            continue
        if position >= len(places) or position in numbers.values():
            numbers[position] = len(places)
            places.append(root)
        else:
            numbers[position] = position
            places[position] = root
    journal.remember(_ROOTS, json.dumps(places))
    return [replace(archive, root=numbers.get(archive.root, archive.root)) for archive in archives]


def database_change(database: Store, journal: Journal) -> str:
    """Return how a database differs from the one that an export was begun with; "" if it is equal.

    They are compared by last post and tag, and by how often they were changed, which earlier versions did not record.
    """
    ends, changes = _state_of(database)
    now = f"{ends}, {changes}"
    before = journal.settings.get(_DATABASE)
    if before is None:
        journal.remember(_DATABASE, now)
    return "" if before in (None, now, ends) else f"{before}; now {now}"


def _state_of(database: Store) -> tuple[str, str]:
    """Return the last post and tag of a database, and how often its file was changed, in words."""
    ((post, tag),) = database.rows("SELECT (SELECT MAX(id) FROM post), (SELECT MAX(id) FROM tag)")
    return f"last post {post}, last tag {tag}", f"{count_changes(database.path):,} changes of the file"


def prune(job: Job, journal: Journal) -> int:
    """Remove the pairs of posts that are not selected any more; set their corrected captions aside.

    Returns:
        how many captions were set aside.
    """
    others = np.setdiff1d(journal.ids(), job.numbers, assume_unique=True)
    aside = set_aside(job.out, journal.pairs_of(others)) if job.sink.has_caption_files else 0
    for pair in journal.pairs_of(others):
        job.sink.remove(pair)
    journal.forget(others.tolist())
    journal.forget_broken(np.setdiff1d(journal.broken_ids(), job.numbers, assume_unique=True))
    return aside


def take_up(job: Job, journal: Journal, workers: int) -> tuple[Ids, int]:
    """Return which posts are exported already, and how many captions were corrected by hand.

    Pairs that were lost in a power cut, or removed by hand, are removed from the journal.

    Raises:
        DestinationError: the export holds posts that are not selected.
    """
    others = np.setdiff1d(journal.ids(), job.numbers, assume_unique=True)
    if len(others):
        example = f"such as post {others[-1]}" if others[-1] >= 0 else "images of your own"
        raise DestinationError(
            f"{job.out} holds {quantity(len(others), 'post that is', 'posts that are')} not selected ({example}); "
            "select them too, remove them with --prune, or choose another folder"
        )
    corrected = _compare(job.out, journal, job.sink, workers)
    _forget_changed(job, journal)
    _note_reading(job.numbers, journal)
    return journal.ids(), corrected


def _forget_changed(job: Job, journal: Journal) -> None:
    """Remove everything that came of folders of own images which have changed."""
    stamps = journal.stamps()
    for folder in job.own:
        if stamps.get(folder.key, folder.stamp) != folder.stamp:
            pairs = list(journal.pairs_of(journal.ids_of(folder.key)))
            if job.sink.writes_captions:
                set_aside(job.out, pairs)
            for pair in pairs:
                job.sink.remove(pair)
            journal.strike(folder.key)


def _note_reading(ids: Ids, journal: Journal) -> None:
    """Have the archives read again if another version read them last, or other posts were selected."""
    if journal.settings.get(_READING) != str(VERSION):
        # This version may read more from an archive than the earlier one did.
        journal.unlearn()
        journal.remember(_READING, str(VERSION))
    now = _print_of(ids)
    if journal.settings.get(_SELECTION) not in (None, now):
        journal.reopen()
    # Recorded last: a run killed between the two would otherwise never read the archives again for the new posts.
    journal.remember(_SELECTION, now)


def _print_of(ids: Ids) -> str:
    """Return a fingerprint of the selected posts and own images."""
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()


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
        if sink.has_shards:
            images, captions = {pair.id for pair in pairs if not sink.is_durable(pair)}, set[int]()
        else:
            from hakubooru.export.verify import wrong_ids  # noqa: PLC0415 - needed only after a power cut

            images, captions = wrong_ids(out, pairs, sink, workers)
        aside += _strike(images | (captions - corrected), out, journal, sink)
        corrected -= images
        journal.trust(doubtful)
    return len(corrected) + aside


def _strike(ids: Collection[int], out: Path, journal: Journal, sink: Sink) -> int:
    """Remove pairs from the journal, to export them again; set corrected captions aside and return how many."""
    if not ids:
        return 0
    pairs = journal.pairs_of(np.array(sorted(ids), np.int64))
    count = set_aside(out, pairs) if sink.has_caption_files else 0
    journal.forget(ids)
    return count
