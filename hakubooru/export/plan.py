"""The job of an export, and the plan of which archives are read for which posts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import id_text
from hakubooru.errors import IncompleteError
from hakubooru.export.journal import OTHERS
from hakubooru.export.pairs import Outcome, Task
from hakubooru.image.convert import COPY, ImageFormat
from hakubooru.image.holdings import LostArchiveError, ids_in, indexes_of
from hakubooru.image.layouts import EVERYTHING, MD5, NO_HASHES, Hashes
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.export.archive import CaptionsOfPosts
    from hakubooru.export.journal import Journal
    from hakubooru.export.sinks import Sink
    from hakubooru.image.folders import OwnFolder
    from hakubooru.image.index import TarIndex
    from hakubooru.image.sources import Archive
    from hakubooru.store.store import Store

_POSTS_A_QUERY: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Job:
    """An export with all arguments resolved."""

    ids: Ids
    """The posts, ascending, each once."""
    out: Path
    """The export's folder."""
    database: Store
    """The posts' database."""
    archives: Sequence[Archive]
    """The archives, in the order in which they count."""
    roots: Sequence[str] = ()
    """The places that were searched for archives."""
    sink: Sink
    """Takes the pairs."""
    captions: CaptionsOfPosts
    """Gives the captions."""
    settings: Mapping[str, str]
    """Options that must be the same in every run into a folder, as text."""
    own: Sequence[OwnFolder] = ()
    """Folders of images without a post id, which are exported too."""
    shape: ImageFormat = COPY
    """Which images are exported, and how they are converted."""
    origin: str = ""
    """The arguments of the export, as text, from which `repair` repeats it."""
    prune: bool = False
    """Remove pairs of posts that are not in `ids`."""

    @cached_property
    def numbers(self) -> Ids:
        """The numbers of own images and the posts, ascending."""
        own = [folder.ids for folder in self.own]
        return np.concatenate([np.sort(np.concatenate([*own, np.empty(0, np.int64)])), self.ids])


def hashes_of(archives: Sequence[Archive], database: Store, posts: Ids) -> dict[str, Hashes]:
    """Return the posts of images that are named by their MD5, by the keys of their archives.

    Args:
        archives: all archives; those without such images are not looked into.
        database: has the MD5s of posts.
        posts: the posts that are wanted.

    Raises:
        IncompleteError: an archive cannot be read.
    """
    named = [archive for archive in archives if archive.by_md5]
    if not named:
        return {}
    try:
        lists = [index.hashes for _, index in indexes_of(named)]
    except LostArchiveError as error:
        raise lost_archives([f"{error.archive.key} ({error})"]) from error
    places = np.repeat(np.arange(len(lists)), [len(some) for some in lists])
    md5s = np.concatenate(lists)
    order = np.argsort(md5s, kind="stable")
    places, md5s = places[order], md5s[order]
    matches: list[list[tuple[bytes, int]]] = [[] for _ in named]
    for at in range(0, len(posts), _POSTS_A_QUERY):
        statement = (
            "SELECT id, md5 FROM post WHERE length(md5) = 32 AND md5 NOT GLOB '*[^0-9a-fA-F]*' "
            "AND id IN (SELECT value FROM json_each(?))"
        )
        rows = database.rows(statement, [id_text(posts[at : at + _POSTS_A_QUERY])])
        wanted = np.array([bytes.fromhex(md5) for _, md5 in rows], MD5)
        first, last = np.searchsorted(md5s, wanted), np.searchsorted(md5s, wanted, "right")
        for row in np.flatnonzero(first < last).tolist():
            for place in places[first[row] : last[row]].tolist():
                matches[place].append((bytes.fromhex(rows[row][1]), rows[row][0]))
    return {archive.key: Hashes.of(pairs) for archive, pairs in zip(named, matches, strict=True)}


def tasks_by_name(wave: Sequence[Archive], posts: Ids, hashes: Mapping[str, Hashes]) -> list[Task]:
    """Return a task for each archive: the posts, of those given, that its name announces, or its MD5s are of."""
    tasks = []
    for archive in wave:
        wanted = archive.claim.of(posts)
        of_md5 = hashes[archive.key].among(wanted) if archive.key in hashes else NO_HASHES
        tasks.append(Task(archive, wanted, archive.claim, archive.key, archive.stamp, of_md5))
    return tasks


def tasks_for_others(archives: Sequence[Archive], posts: Ids, journal: Journal) -> list[list[Task]]:
    """Plan which archives to read for posts that their names do not announce.

    An archive is skipped if all its images are known to agree with its name, or if it was searched before. An archive
    that holds none of the posts is recorded as searched.

    Args:
        archives: in the order in which they count, after each was read for the posts that its name announces.
        posts: the posts that are still missing, ascending.
        journal: the export's journal.

    Returns:
        tasks in waves: no two tasks of a wave are for the same post, and no task comes before one that counts more.

    Raises:
        IncompleteError: an archive cannot be read.
    """
    if not len(posts):
        return []
    wanted = {}
    unknown = _unknown(archives, journal)
    try:
        with progress(total=len(unknown), desc="looking into", unit=" archives") as bar:
            for archive, index in indexes_of(unknown):
                announced = archive.claim.of(posts)
                others = np.setdiff1d(ids_in(posts, index), announced, assume_unique=True)
                if len(others):
                    wanted[archive.key] = others
                else:
                    journal.record(_searched(archive, index))
                bar.update()
    except LostArchiveError as error:
        raise lost_archives([f"{error.archive.key} ({error})"]) from error
    tasks = [
        Task(archive, wanted[archive.key], EVERYTHING, archive.key + OTHERS, archive.stamp)
        for archive in archives
        if archive.key in wanted
    ]
    return _waves(tasks, posts)


def lost_archives(names: Sequence[str]) -> IncompleteError:
    """Return the error that ends an export because archives cannot be read.

    Their images count before those of later archives, so the export cannot go on without them.
    """
    return IncompleteError(
        f"archives could not be read: {', '.join(sorted(names))}; bring them back, or take them out of the folder, "
        "then run the same command again to resume"
    )


def _unknown(archives: Sequence[Archive], journal: Journal) -> list[Archive]:
    """Return the archives that may hold posts which their names do not announce."""
    done = dict(journal.done())
    stamps = (
        journal.stamps()
    )  # an archive that is to be read again has been read once, and its strays are counted
    strays = journal.strays()
    return [
        archive
        for archive in archives
        if done.get(archive.key + OTHERS) != archive.stamp
        and (archive.key in strays or stamps.get(archive.key) != archive.stamp)
    ]


def _searched(archive: Archive, index: TarIndex) -> Outcome:
    outcome = Outcome(archive.key + OTHERS, archive.stamp, damage=index.damage)
    for name, reason in index.strange:
        outcome.pass_over(reason, name)
    return outcome


def _waves(tasks: Sequence[Task], posts: Ids) -> list[list[Task]]:
    grouped: list[list[Task]] = []
    last = np.full(len(posts), -1)  # the last wave so far that reads each post
    for task in tasks:
        places = np.searchsorted(posts, task.wanted)
        level = 1 + int(last[places].max(initial=-1))
        last[places] = level
        if level == len(grouped):
            grouped.append([])
        grouped[level].append(task)
    return grouped
