"""Archives as an export knows them from one run to the next: by the number of the place that was searched, and their name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hakubooru.errors import DestinationError
from hakubooru.export.journal import OTHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids
    from hakubooru.export.journal import Journal
    from hakubooru.export.sinks import Sink
    from hakubooru.image.sources import Archive


def numbered(archives: Sequence[Archive], roots: Sequence[str], journal: Journal) -> list[Archive]:
    """Archives with the numbers that their places have on record, whatever the order in which these are given now.

    A place that is not on record has that of the one that stood where it stands, if that is not given any more: it was
    moved. Otherwise it is a new one, with a number of its own.

    Args:
        archives: in the order in which they count, which stays.
        roots: the places that were searched for them.
        journal: of the export, where new places are taken down.
    """
    known: list[str] = json.loads(journal.recall("roots") or "[]")
    numbers: dict[int, int] = {}
    for place, root in enumerate(roots):
        same = (at for at, name in enumerate(known) if name == root and at not in numbers.values())
        if (number := next(same, None)) is not None:
            numbers[place] = number
    for place, root in enumerate(roots):
        if place in numbers:
            continue
        if place >= len(known) or place in numbers.values():
            numbers[place] = len(known)
            known.append(root)
        else:
            numbers[place] = place
            known[place] = root
    journal.remember("roots", json.dumps(known))
    return [replace(archive, root=numbers.get(archive.root, archive.root)) for archive in archives]


def see_rewritten(journal: Journal, archives: Sequence[Archive]) -> None:
    """See that archives are there whose shards were being written anew when the last run ended.

    Raises:
        DestinationError: one is gone.
    """
    keys = {key.removesuffix(OTHERS) for key in journal.to_rewrite() if not key.startswith("own ")}
    _refuse_gone(keys - {archive.key for archive in archives})


def remove_files(ids: Ids, journal: Journal, sink: Sink, archives: Sequence[Archive]) -> None:
    """Remove the files of pairs; shards that others have a share in stay until they are written anew.

    Raises:
        DestinationError: an archive is gone by which they would be.
    """
    alone = ids
    if sink.holds_archives:
        staying = np.setdiff1d(journal.with_their_archives(ids), ids, assume_unique=True)
        alone = np.setdiff1d(ids, journal.with_their_archives(staying), assume_unique=True)
        see_archives(np.setdiff1d(ids, alone, assume_unique=True), journal, sink, archives)
    for pair in journal.pairs_of(alone):
        sink.remove(pair)


def see_archives(ids: Ids, journal: Journal, sink: Sink, archives: Sequence[Archive]) -> None:
    """See that what must be exported again with some posts, since it is in one file with them, can be.

    Raises:
        DestinationError: an archive is gone.
    """
    if not sink.holds_archives:
        return
    _refuse_gone(journal.archives_of(ids) - {archive.key for archive in archives})


def _refuse_gone(gone: set[str]) -> None:
    if gone:
        raise DestinationError(
            f"shards have to be written anew, and their archives are gone: {', '.join(sorted(gone))}; bring them back, "
            "and run the same command again"
        )
