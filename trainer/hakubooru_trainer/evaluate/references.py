"""The references of an evaluation: which images each character is known by, read from the archives once."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hakubooru.arrays import distinct, integers, strings
from hakubooru.errors import InputError
from hakubooru.export.archive import Images
from hakubooru.export.pairs import Task
from hakubooru.export.plan import lost_archives
from hakubooru.files import is_remote, replacing
from hakubooru.image.holdings import LostArchiveError, indexes_of
from hakubooru.image.index import load_index
from hakubooru.image.layouts import EVERYTHING
from hakubooru.image.published import StaleIndexError
from hakubooru.progress import progress
from hakubooru.quantity import quantity
from hakubooru_trainer.evaluate.catalogue import Place
from hakubooru_trainer.evaluate.extraction import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hakubooru.arrays import Ids
    from hakubooru.image.index import TarIndex
    from hakubooru.image.sources import Archive
    from hakubooru_trainer.evaluate.extraction import Extractor

FILE: Final = "references.parquet"
SHOWN: Final = 4
"""How many references of a character the report can show."""


class Reference(NamedTuple):
    """An image that a character is known by."""

    post: int
    """The post's id."""
    sha256: str
    """The SHA-256 of the image's file, hexadecimal."""


@dataclass
class References:
    """The references of each character."""

    by_character: dict[str, list[Reference]]
    """The references in the order of their keys, by the character's tag."""
    unreadable: dict[int, str] = field(default_factory=dict)
    """Why images that were chosen could not be decoded, by post."""

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of every reference."""
        return [one.sha256 for some in self.by_character.values() for one in some]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the characters and the contents of their references."""
        digest = hashlib.sha256()
        for name, some in self.by_character.items():
            digest.update(f"{name} {' '.join(one.sha256 for one in some)}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    def write(self, path: Path) -> None:
        """Write the references as Parquet: character, post and SHA-256."""
        rows = [(name, *one) for name, some in self.by_character.items() for one in some]
        names, posts, digests = zip(*rows, strict=True)
        table = pa.table(
            {"character": strings(names), "post": integers(posts, pa.int64()), "sha256": strings(digests)}
        )
        with replacing(path) as beside:
            parquet.write_table(table, beside)


def gather(
    candidates: Mapping[str, Ids],
    archives: Sequence[Archive],
    extractor: Extractor[int],
    count: int,
) -> References:
    """Choose the references of each character, and put their features into the catalogue.

    The references of a character are the first of its candidates that an archive holds. Only images that the catalogue does
    not know are read, and those that the report shows for the first time.

    Args:
        candidates: the posts that can be references, by character, in the order of their keys.
        archives: the archives, in the order in which they count.
        extractor: computes features.
        count: the most references of a character.

    Raises:
        InputError: no archive holds a candidate.
        IncompleteError: an archive cannot be read.
    """
    posts: Ids = distinct(np.concatenate(list(candidates.values())))
    holders = _holders(posts, archives)
    chosen: dict[str, list[int]] = {}
    for name, some in candidates.items():
        is_there = holders[np.searchsorted(posts, some)] >= 0
        chosen[name] = some[is_there][:count].tolist()
    wanted: Ids = distinct(np.array([post for some in chosen.values() for post in some], np.int64))
    if not len(wanted):
        raise InputError(
            "none of the archives holds an image of these characters; name the folders of their images with --images"
        )
    shown = {post for some in chosen.values() for post in some[:SHOWN]}
    by_archive: dict[int, list[int]] = defaultdict(list)
    for post, holder in zip(wanted.tolist(), holders[np.searchsorted(posts, wanted)].tolist(), strict=True):
        by_archive[holder].append(post)
    places: dict[int, Place] = {}
    with progress(total=len(wanted), desc="references", unit=" images") as bar:
        for holder, of_archive in sorted(by_archive.items()):
            archive = archives[holder]
            for place in _places(archive, of_archive, extractor, shown):
                places[place.post] = place
                bar.update()
    unreadable = {post: place.reason for post, place in sorted(places.items()) if place.reason}
    if not any(place.sha256 for place in places.values()):
        post, reason = next(iter(unreadable.items()))
        raise InputError(
            f"none of {quantity(len(wanted), 'image')} of these characters can be decoded (post {post}: {reason}); name folders "
            "with whole images with --images"
        )
    return References({name: _distinct(some, places) for name, some in chosen.items()}, unreadable)


def _distinct(posts: Sequence[int], places: Mapping[int, Place]) -> list[Reference]:
    """The references among posts; of posts with the same file, the first."""
    by_digest: dict[str, int] = {}
    for post in posts:
        if post in places and places[post].sha256:
            by_digest.setdefault(places[post].sha256, post)
    return [Reference(post, digest) for digest, post in by_digest.items()]


def _holders(posts: Ids, archives: Sequence[Archive]) -> Ids:
    """The number of the archive that each post's image is taken from, (N,); -1 where no archive holds it."""
    holders = np.full(len(posts), -1, np.int64)
    try:
        with progress(total=len(archives), desc="looking into", unit=" archives") as bar:
            for number, (_, index) in enumerate(indexes_of(archives)):
                rows = np.minimum(np.searchsorted(posts, index.ids), len(posts) - 1)
                rows = rows[posts[rows] == index.ids]
                holders[rows[holders[rows] < 0]] = number
                bar.update()
    except LostArchiveError as error:
        raise lost_archives([f"{error.archive.path} ({error})"]) from error
    return holders


def _places(
    archive: Archive, posts: Sequence[int], extractor: Extractor[int], shown: set[int]
) -> Iterator[Place]:
    """Where the images of posts of one archive are; those that are not known with their features are read."""
    name = archive.path if is_remote(archive.path) else os.path.abspath(archive.path)  # noqa: PTH100 - a string goes in
    catalogue = extractor.catalogue
    before = catalogue.places(name, archive.stamp, posts)
    known = catalogue.complete(
        extractor.judge.fingerprint,
        [place.sha256 for place in before if place.sha256],
        [place.sha256 for place in before if place.post in shown],
    )
    settled = [place for place in before if place.reason or place.sha256 in known]
    yield from settled
    others = np.setdiff1d(np.array(posts, np.int64), [place.post for place in settled])
    if not len(others):
        return
    task = Task(archive, others, EVERYTHING, archive.key, archive.stamp)

    def read(index: TarIndex | None) -> tuple[Images, list[Place]]:
        images = Images(task, index=index)
        sources = (Source(post, data, post in shown) for post, _, data in images)
        return images, [Place(*one) for one in extractor.run(sources)]

    try:
        images, places = read(_index(archive))
    except StaleIndexError as error:  # a published index of another archive
        if is_remote(archive.path):
            raise lost_archives([f"{archive.path} ({error})"]) from error
        images, places = read(None)
    if images.outcome.lost:
        raise lost_archives([f"{archive.path} ({images.outcome.lost})"])
    places += [Place(one.id, "", one.reason) for one in images.outcome.broken]
    catalogue.add_places(name, archive.stamp, places)
    yield from places


def _index(archive: Archive) -> TarIndex | None:
    if archive.is_folder:
        return None
    return load_index(archive.path, archive.stamp if is_remote(archive.path) else None)
