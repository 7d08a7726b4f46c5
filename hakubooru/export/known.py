"""The keys of archives in a journal: the number of the searched place, which stays from run to run, and a name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.export.journal import Journal
    from hakubooru.image.sources import Archive


def numbered(archives: Sequence[Archive], roots: Sequence[str], journal: Journal) -> list[Archive]:
    """Return archives with the numbers that the journal has for their places, in whatever order these come now.

    A place that the journal does not have takes the number of the earlier place at its position, if that one is gone:
    the place was moved. Otherwise the place is new and gets a new number.

    Args:
        archives: in the order in which they count; the order stays.
        roots: the places that were searched for the archives.
        journal: the export's journal; new places are recorded there.
    """
    places: list[str] = json.loads(journal.recall("roots") or "[]")
    numbers: dict[int, int] = {}
    for position, root in enumerate(roots):
        same = (at for at, name in enumerate(places) if name == root and at not in numbers.values())
        if (number := next(same, None)) is not None:
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
    journal.remember("roots", json.dumps(places))
    return [replace(archive, root=numbers.get(archive.root, archive.root)) for archive in archives]
