"""`repair`: mend what `verify` reports, as far as the database and images of the export are still there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.api import Origin, export_from
from hakubooru.export.checks import Problem
from hakubooru.export.corrections import write_list
from hakubooru.export.journal import Journal
from hakubooru.export.manifest import MANIFEST, read_manifest
from hakubooru.export.pairs import STATE, beside, own_number
from hakubooru.export.resumption import go_on, numbered, read_origin
from hakubooru.export.sinks.folder import empty_part
from hakubooru.export.verify import VerifyReport, exported, verify
from hakubooru.files import replacing
from hakubooru.image.folders import find_own
from hakubooru.image.sources import find_archives

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.sinks import Sink

_ROWS_A_READ: Final = 100_000


def repair(out: str | os.PathLike[str], *, decode: bool = False, workers: int | None = None) -> VerifyReport:
    """Verify an export, export again what is missing or wrong, and remove files that belong to no pair.

    Captions are written again from the journal, without the database or the images.

    Args:
        out: the export's folder.
        decode: decode every image too.
        workers: processes that read and write, as in `verify`.

    Returns:
        the report of a second check, with what could not be exported again.

    Raises:
        DestinationError: the folder holds no finished export, its manifest was edited, or the export's sources have changed.
        InputError: the database or the images are no longer where they were.
    """
    out = Path(out)
    if not (out / STATE).is_dir():
        before = verify(out, decode=decode, workers=workers)
        if before.is_good:
            return before
        raise DestinationError(
            f"{out} has lost its folder {STATE}, so it cannot be repaired; export into another folder"
        )
    # The open journal locks the folder: no other export writes here between the check and the repair.
    with Journal(out) as journal:
        empty_part(str(out))  # a repair that was killed as it ended may have left a folder there
        before = verify(out, decode=decode, workers=workers)
        if before.is_good:
            return before
        origin, ids = _origin(out, journal), _manifest_ids(out)
        _check_finished(out, ids, journal)
        _check_captions(out, {*before.bad_ids, *before.bad_captions}, journal)
        # An interrupted repair may have removed pairs from the journal. They are exported again even if their files
        # are there.
        bad_ids = {
            *before.bad_ids,
            *np.setdiff1d(_manifest_ids(out, exported=True), journal.ids(), assume_unique=True).tolist(),
        }
        _write_captions(out, journal, set(before.bad_captions) - bad_ids)
        sink = origin.output.sink_for(str(out.absolute()))
        if bad_ids:
            _forget(bad_ids, origin, out, journal, sink)
        else:
            write_list(out, sink, journal)
        for name in before.orphans:
            (out / name).unlink(missing_ok=True)
    if not bad_ids:
        return verify(out, decode=decode, workers=workers)
    with origin.opened() as database:
        export_from(database, ids[ids >= 0], out, origin, workers)
    report = verify(out, decode=decode, workers=workers)
    for post, reason in _left_out(out, bad_ids):
        report.add(Problem(post, f"post {post}", f"could not be exported again: {reason}"))
    for number in {number for number in bad_ids if number < 0}.difference(_manifest_ids(out).tolist()):
        report.add(Problem(number, f"{-1 - number:015x}", "your own image could not be exported again"))
    return report


def _origin(out: Path, journal: Journal) -> Origin:
    table = read_origin(journal)
    if table is None:
        raise DestinationError(
            f"{journal.path} does not record the sources of {out}, so it cannot be repaired; export into another folder"
        )
    return Origin.from_table(table)


def _forget(bad_ids: set[int], origin: Origin, out: Path, journal: Journal, sink: Sink) -> None:
    """Remove pairs from the journal, so that an export writes them again; nothing that it could not export again."""
    # First the checks that this version can go on with the export, and that the sources are there.
    converts = origin.image.format is not None and sink.needs_images
    go_on(journal, out, origin.settings(), converts=converts)
    _check_sources(origin, out, bad_ids, journal, sink)
    journal.forget(bad_ids)
    if sink.list_name:
        # The export writes the list again. A repair does not keep a list that was edited by hand.
        (out / sink.list_name).unlink(missing_ok=True)


def _check_finished(out: Path, ids: Ids, journal: Journal) -> None:
    begun = np.setdiff1d(journal.ids(), ids, assume_unique=True)
    if len(begun):
        raise DestinationError(
            f"the last export into {out} was interrupted: {len(begun):,} of its images {'is' if len(begun) == 1 else 'are'} not in the manifest yet; "
            "run that export again first, it resumes where it stopped"
        )


def _check_captions(out: Path, bad_ids: Container[int], journal: Journal) -> None:
    """Check that the manifest has the captions that were exported, where a file differs from it."""
    others: list[str] = []
    for pairs in exported(out):
        captions = {pair.id: pair.caption for pair in pairs if pair.id in bad_ids}
        journaled = journal.pairs_of(np.array(sorted(captions), np.int64))
        others += [pair.path for pair in journaled if pair.caption != captions[pair.id]]
    if others:
        raise DestinationError(
            f"{out / MANIFEST} has another caption than was exported for {others[0]} ({len(others):,} in all); run that export "
            "again, which writes the manifest anew; corrections belong into the files of captions"
        )


def _check_sources(origin: Origin, out: Path, bad_ids: set[int], journal: Journal, sink: Sink) -> None:
    """Check that the sources of an export are there, and that joined files and folders of own images have not changed.

    An export would take up the changes of a folder of own images; a repair must not.
    """
    with origin.opened():
        archives = find_archives(origin.images, skip=out, indexes=origin.index) if origin.images else []
    archives = numbered(archives, origin.images, journal)
    ids = np.array(sorted(bad_ids), np.int64)
    gone = journal.archives_of(ids) - {archive.key for archive in archives}
    if gone and sink.needs_images:
        # Another archive may hold an older image, which would silently take the place of the lost one.
        raise DestinationError(
            f"the wrong images came from archives that are gone: {', '.join(sorted(gone))}; bring these archives "
            "back, or remove the images and run the export again, which then uses other archives"
        )
    stamps = journal.stamps()
    for folder in find_own(origin.own, skip=out):
        if stamps.get(folder.key) != folder.stamp:
            raise DestinationError(
                f"{folder.path} has changed since its images were exported; run that export again first, it takes up "
                "the change"
            )


def _manifest_ids(out: Path, *, exported: bool = False) -> Ids:
    """Return the posts and the numbers of own images in a manifest, ascending; with `exported`, only the exported."""
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
    """Yield the posts among `ids` that a manifest has as not exported, and the reason."""
    for rows in read_manifest(out, ("id", "status", "reason"), _ROWS_A_READ):
        for row in rows:
            if row["id"] in ids and row["status"] != "exported":
                yield row["id"], row["reason"]


def _write_captions(out: Path, journal: Journal, ids: Iterable[int]) -> None:
    for pair in journal.pairs_of(np.array(sorted(ids), np.int64)):
        path = out / beside(pair.path)
        if path.is_dir():
            raise DestinationError(
                f"{path} is a folder, but the export writes a file there; move the folder away"
            )
        with replacing(path) as part:
            part.write_bytes(pair.caption.encode())
