"""`repair`: what a check of an export found is made good, as far as what the export came from is still there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.begun import go_on, read_origin
from hakubooru.export.checks import Problem
from hakubooru.export.corrections import finish
from hakubooru.export.entry import Origin, export_from, settings_of
from hakubooru.export.journal import Journal
from hakubooru.export.known import numbered
from hakubooru.export.manifest import read_manifest
from hakubooru.export.output import output_format
from hakubooru.export.sinks import STATE, beside
from hakubooru.export.sinks.listed import ListedSink
from hakubooru.export.verify import VerifyReport, verify
from hakubooru.files import replacing
from hakubooru.image.own import find_own, own_number
from hakubooru.image.sources import find_archives
from hakubooru.store.sqlite_errors import explained
from hakubooru.store.store import open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.sinks import Sink

_ROWS_A_READ: Final = 100_000


def repair(out: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> VerifyReport:
    """Verify an export, export again what is missing or wrong, and remove what belongs to no pair.

    Captions are written again as the record has them, for which neither database nor images are needed.

    Args:
        out: the export's folder.
        decode: decode every image too.
        workers: processes that read and write, as in `verify`.

    Returns:
        what a second check came to, and what could not be exported again.

    Raises:
        DestinationError: there is no finished export, or not what is needed to go on with it.
        InputError: the database or the images are no longer where they were.
    """
    out = Path(out)
    if not (out / STATE).is_dir():
        found = verify(out, decode=decode, workers=workers)
        if found.is_good:
            return found
        raise DestinationError(f"{out} has lost its folder {STATE}: export into another folder")
    # With the journal in hand nothing else writes here from the check on.
    with Journal(out) as journal, explained(journal.path):
        found = verify(out, decode=decode, workers=workers)
        if found.is_good:
            return found
        origin, ids = _origin(out, journal), _ids_told(out)
        _see_finished(out, ids, journal)
        # What an interrupted repair struck from the record is wrong too, though its files may be there again.
        bad = {*found.bad_ids, *np.setdiff1d(_ids_told(out, exported=True), journal.ids()).tolist()}
        _write_captions(out, journal, set(found.bad_captions) - bad)
        sink = output_format(origin.output).sink_for(str(out.absolute()))
        if bad:
            # Nothing is struck or removed before it is known that this version can go on with the export, and
            # that what it came from is still there.
            converts = origin.image["format"] is not None and sink.needs_images
            go_on(journal, out, settings_of(origin), converts=converts)
            _see_sources(origin, out, bad, journal, sink)
            journal.forget(bad)
            if isinstance(sink, ListedSink):
                # It is written anew below, and one that was changed is not to be kept: a repair takes ours back.
                (out / sink.file).unlink(missing_ok=True)
        else:
            finish(out, sink, journal)
        for name in found.orphans:
            (out / name).unlink(missing_ok=True)
    if not bad:
        return verify(out, decode=decode, workers=workers)
    with open_store(origin.database) as database:
        export_from(database, ids[ids >= 0], out, origin, workers)
    report = verify(out, decode=decode, workers=workers)
    for post, reason in _left_out(out, bad):
        report.add(Problem(post, f"post {post}", f"could not be exported again: {reason}"))
    for number in {number for number in bad if number < 0}.difference(_ids_told(out).tolist()):
        report.add(Problem(number, f"{-1 - number:015x}", "image of your own could not be exported again"))
    return report


def _origin(out: Path, journal: Journal) -> Origin:
    table = read_origin(journal)
    if table is None:
        raise DestinationError(
            f"{journal.path} does not say where {out} came from: export into another folder"
        )
    return Origin(**table)


def _see_finished(out: Path, ids: Ids, journal: Journal) -> None:
    begun = np.setdiff1d(journal.ids(), ids)
    if len(begun):
        raise DestinationError(
            f"the last export into {out} was interrupted: it holds {len(begun):,} images that the manifest does not "
            "tell of yet; run that export again, which goes on where it was, before this"
        )


def _see_sources(origin: Origin, out: Path, bad: set[int], journal: Journal, sink: Sink) -> None:
    """See that what an export came from is there, and that own folders are as they were: an export follows these."""
    with open_store(origin.database):
        archives = find_archives(origin.images, skip=out) if origin.images else []
    archives = numbered(archives, origin.images, journal)
    ids = np.array(sorted(bad), np.int64)
    gone = journal.archives_of(ids) - {archive.key for archive in archives}
    if gone and sink.needs_images:
        # Another archive can have an older image, which would stand in without a word.
        raise DestinationError(
            f"archives are gone from which the images came that are wrong now: {', '.join(sorted(gone))}; bring them "
            "back, or remove those images and run the export again, which takes what other archives have"
        )
    stamps = journal.stamps()
    for folder in find_own(origin.own, skip=out):
        if stamps.get(folder.key) != folder.stamp:
            raise DestinationError(
                f"{folder.path} has changed since its images were exported; run that export again, which takes the "
                "change up, before this"
            )


def _ids_told(out: Path, *, exported: bool = False) -> Ids:
    """The posts of a manifest, or of those the exported alone, and the numbers of the own images that it has, ascending."""
    parts = [np.empty(0, np.int64)]
    for rows in read_manifest(out, ("id", "path"), _ROWS_A_READ):
        numbers = (
            row["id"] if row["id"] is not None else row["path"] and own_number(row["path"])
            for row in rows
            if row["path"] or not exported
        )
        parts.append(np.array([number for number in numbers if number is not None], np.int64))
    return np.sort(np.concatenate(parts))


def _left_out(out: Path, ids: Container[int]) -> Iterator[tuple[int, str]]:
    """Those of some posts that a manifest tells of as not exported, and why."""
    for rows in read_manifest(out, ("id", "status", "reason"), _ROWS_A_READ):
        for row in rows:
            if row["id"] in ids and row["status"] != "exported":
                yield row["id"], row["reason"]


def _write_captions(out: Path, journal: Journal, ids: Iterable[int]) -> None:
    for pair in journal.pairs_of(np.array(sorted(ids), np.int64)):
        path = out / beside(pair.path)
        if path.is_dir():
            raise DestinationError(f"{path} is a folder, and a file of the export goes there; move it away")
        with replacing(path) as part:
            part.write_bytes(pair.caption.encode())
