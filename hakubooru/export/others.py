"""Posts in archives whose names do not tell of them: looked for before any post is called missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hakubooru.errors import IncompleteError
from hakubooru.export.journal import OTHERS
from hakubooru.export.records import Outcome, Task
from hakubooru.image.holding import LostArchiveError, held, indexes_of
from hakubooru.image.names import EVERYTHING
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru.arrays import Ids
    from hakubooru.export.journal import Journal
    from hakubooru.image.index import TarIndex
    from hakubooru.image.sources import Archive


def tasks_for_others(archives: Sequence[Archive], posts: Ids, journal: Journal) -> list[list[Task]]:
    """What is to be read of archives for posts that their names do not tell of.

    Archives whose every image is known to agree with their name, or that were looked into before, are left alone.
    Those that hold none of the posts are put on record as looked into.

    Args:
        archives: in the order in which they count, after each was read for the posts that its name tells of.
        posts: are still wanted, ascending.
        journal: of the export.

    Returns:
        tasks in waves: no two of a wave are for the same post, and none comes before one that counts more.

    Raises:
        IncompleteError: an archive cannot be read.
    """
    wanted = {}
    unknown = _unknown(archives, journal) if len(posts) else []
    try:
        with progress(total=len(unknown), desc="looking into", unit=" archives") as bar:
            for archive, index in indexes_of(unknown):
                asked = archive.claim.of(posts)
                others = np.setdiff1d(held(posts, index), asked, assume_unique=True)
                if len(others):
                    wanted[archive.key] = others
                else:
                    journal.record(_looked_into(archive, index))
                bar.update()
    except LostArchiveError as error:
        raise lost_archives([f"{error.archive.key} ({error})"]) from error
    tasks = [
        Task(archive, wanted[archive.key], EVERYTHING, archive.key + OTHERS)
        for archive in archives
        if archive.key in wanted
    ]
    return _waves(tasks, posts)


def lost_archives(names: Sequence[str]) -> IncompleteError:
    """The error that ends an export when archives cannot be read: what they hold counts before what comes next."""
    return IncompleteError(
        f"could not be read: {', '.join(sorted(names))}; bring them back, or take them out of the folder, "
        "and run the same command again: it goes on from here"
    )


def _unknown(archives: Sequence[Archive], journal: Journal) -> list[Archive]:
    """Archives that may hold posts that their names do not tell of."""
    done = dict(journal.done())
    stamps = journal.stamps()  # of what was read once, also if it is to be read again for other posts
    strays = journal.strays()
    return [
        archive
        for archive in archives
        if done.get(archive.key + OTHERS) != archive.stamp
        and (archive.key in strays or stamps.get(archive.key) != archive.stamp)
    ]


def _looked_into(archive: Archive, index: TarIndex) -> Outcome:
    outcome = Outcome(archive.key + OTHERS, archive.stamp, damage=index.damage)
    for name, reason in index.strange:
        outcome.pass_over(reason, name)
    return outcome


def _waves(tasks: Sequence[Task], posts: Ids) -> list[list[Task]]:
    grouped: list[list[Task]] = []
    last = np.full(len(posts), -1)  # the last wave so far that asks for each post
    for task in tasks:
        places = np.searchsorted(posts, task.wanted)
        level = 1 + int(last[places].max(initial=-1))
        last[places] = level
        if level == len(grouped):
            grouped.append([])
        grouped[level].append(task)
    return grouped
