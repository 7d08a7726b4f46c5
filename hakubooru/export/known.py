"""Archives as an export knows them from one run to the next: by the number of the place that was searched, and their name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.export.journal import Journal
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
