"""Pairs of image and caption, and where they lie; the messages between processes: the task of one archive, its outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hakubooru.image.layouts import NO_HASHES, Hashes
from hakubooru.store.sites import DANBOORU, SITES

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.image.folders import OwnFolder
    from hakubooru.image.layouts import Claim
    from hakubooru.image.sources import Archive
    from hakubooru.store.sites import Site

STATE: Final = ".hakubooru"
"""Folder inside an export that holds what is needed to resume it."""
PREFIXES: Final = ("", *(f"{name}_" for name in SITES if name != DANBOORU.name))
"""What the names of files may begin with, for each site."""
NAMES_KEPT: Final = 1000
"""The most members passed over for one reason that are named; all are counted."""
_LONGEST_STEM: Final = 60


@dataclass(frozen=True)
class Task:
    """One archive, and the posts that are still wanted from it."""

    archive: Archive | OwnFolder | None
    """The archive to read; None if only captions are exported."""
    wanted: Ids
    """The wanted posts, ascending; numbers below 0 are a user's own images."""
    claim: Claim
    """The posts to take from the archive; others in it are counted and left alone."""
    key: str
    """The name of the task in the journal, the same in every run."""
    stamp: int
    """The stamp of the archive, which changes when its contents do; 0 without an archive."""
    hashes: Hashes = NO_HASHES
    """The posts of the archive's images that are named by their MD5."""


class Pair(NamedTuple):
    """An image that was exported with its caption."""

    id: int
    """The post's id, or the number of a user's own image, below 0."""
    path: str
    """The image's path below the export's folder, with `/`."""
    width: int
    """Pixels of the exported image."""
    height: int
    """Pixels of the exported image."""
    bytes: int
    """Bytes of the exported file."""
    sha256: str
    """The SHA-256 of the exported file, hexadecimal."""
    caption: str
    """The caption's text."""
    parts: str
    """How many tags of the caption each part has, as JSON; "" if that is not known."""


class Broken(NamedTuple):
    """A wanted image that was refused."""

    id: int
    """The post's id, or the number of a user's own image."""
    member: str
    """The name of the image in its archive."""
    reason: str
    """Why the image was refused, in a few words."""
    status: str = "broken"
    """`broken`: the file is not whole. `unfit`: it is whole, but the image format leaves it out."""


@dataclass
class Outcome:
    """The outcome of reading one archive."""

    key: str
    """The key of the task."""
    stamp: int
    """The stamp of the archive when it was read."""
    pairs: list[Pair] = field(default_factory=list)
    """The exported pairs."""
    broken: list[Broken] = field(default_factory=list)
    """The refused images."""
    passed_over: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """Members that are not images of posts: how many and the first names, by reason."""
    strays: int = 0
    """How many images belong to posts that the archive's name does not announce."""
    damage: str = ""
    """Why the archive could not be read to its end; "" if it could."""
    lost: str = ""
    """Why the archive could not be read at all, in the system's words; "" if it could."""

    def pass_over(self, reason: str, name: str) -> None:
        """Count a member that is not an image of a post."""
        count, names = self.passed_over.setdefault(reason, (0, []))
        if len(names) < NAMES_KEPT:
            names.append(name)
        self.passed_over[reason] = count + 1, names


def prefix_of(site: Site) -> str:
    """Return what the names of a site's files begin with: nothing for Danbooru, and else the site, such as `e621_`.

    So the exports of two sites can be put together, although their ids are the same.
    """
    return "" if site == DANBOORU else f"{site.name}_"


def place(post_id: int, extension: str, prefix: str = "") -> str:
    """Return where the file of a post lies in an export: `x012/5012.webp`, or `x012/e621_5012.webp`.

    A folder holds at most a thousandth of all posts. Its name begins with a letter, because kohya's scripts read
    leading digits, `12_name` or `012` alone, as a number of repeats.
    """
    return f"x{post_id % 1000:03d}/{prefix}{post_id}.{extension}"


def beside(path: str) -> str:
    """Return the path of an image's caption: the image's path with the extension `.txt`."""
    return path.rpartition(".")[0] + ".txt"


def own_place(number: int, name: str, extension: str) -> str:
    """Return where an own image lies in an export: `own/cat-00f3a9c1b2d4e5f.png`.

    Args:
        number: the image's number, which makes the path unique.
        name: the name of the image's file, which the path begins with.
        extension: the extension of the exported image.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem)[:_LONGEST_STEM]
    return f"own/{stem}-{-1 - number:015x}.{extension}"


def own_number(path: str) -> int:
    """Return the number of an own image from its path in an export."""
    return -1 - int(path.rpartition(".")[0].rpartition("-")[2], 16)
