"""The layouts of published image sets: what the names of archives, folders and images say. Nothing here touches a disk.

A further layout is a row of `LAYOUTS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.arrays import is_among
from hakubooru.image.kinds import SUFFIX_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hakubooru.arrays import Ids
    from hakubooru.image.tar import Member

INDEX_SUFFIX: Final = ".hbindex"
"""The suffix of our own indexes of tars."""
TAR_NAME: Final = re.compile(r"\.(?:tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
ARCHIVE_NAME: Final = re.compile(rf"(?:{TAR_NAME.pattern}|\.zip$|\.parquet$)", re.IGNORECASE)
_UGOIRA: Final = re.compile(r"(?:[1-9]\d*|danbooru_\d+\w*|[0-9a-f]{32})\.zip", re.ASCII | re.IGNORECASE)
"""Matches the names of animations of posts, which are zip archives of frames."""

_FOLDERS: Final = r"(?:(?!\.\./)[^/\\:]*/)*"
MEMBERS: Final = (
    ("123.webp", r"(?P<id>\d{1,18})"),
    ("danbooru_123_0123456789abcdef0123456789abcdef.jpg", r"danbooru_(?P<id>\d{1,18})(?:_[0-9a-f]{32})?"),
    ("0000003-name.jpg", r"(?P<id>\d{7,8})-[^/\\]*"),
)
"""The names of images by their posts, each with an example: published sets, gallery-dl, danbr25."""
_NAMES: Final = tuple(
    re.compile(rf"{_FOLDERS}{pattern}\.{SUFFIX_PATTERN}", re.ASCII | re.IGNORECASE) for _, pattern in MEMBERS
)
_MD5: Final = re.compile(
    rf"{_FOLDERS}(?:__[^/\\]*__)?([0-9a-f]{{32}})\.{SUFFIX_PATTERN}", re.ASCII | re.IGNORECASE
)
"""Matches the names of images by their MD5: `ab/abcd….jpg`, and Danbooru's own `__tags__abcd….jpg`."""
_SIDECAR = re.compile(
    r"[^/\\]+\.(?:txt|caption|json|jsonl|cls|npz|safetensors|parquet|csv|md|toml|ya?ml|mp4|webm|swf|zip)$",
    re.IGNORECASE,
)


_MD5_DIGITS: Final = 32
_MONTH: Final = r"(0[1-9]|1[0-2])"
_DATE: Final = re.compile(
    rf"(?<!\d)(20\d\d)(?:[-_.]?{_MONTH}[-_.]?(0[1-9]|[12]\d|3[01])|[-_]{_MONTH})(?!\d)", re.ASCII
)

_NO_BOUND: Final = 2**63 - 1


class StrangeNameError(Exception):
    """Raised for a name that does not say the image's post; the message is the reason, in a few words."""


def post_id(name: str) -> int | None:
    """Return the post of a member or file by its name: `123.webp`, `0123/123.jpg`, or another form of `MEMBERS`.

    Returns:
        the id; None for files that usually lie beside images: captions, indexes, latents, videos.

    Raises:
        StrangeNameError: the name is of another form, or leads out of its archive.
    """
    for form in _NAMES:
        matched = form.fullmatch(name)
        if matched and not name.startswith("/"):
            return int(matched["id"])
    base = re.split(r"[/\\]", name)[-1]
    if re.match(r"[/\\]|[A-Za-z]:", name):
        raise StrangeNameError("an absolute path")
    if ".." in re.split(r"[/\\]", name):
        raise StrangeNameError("a path that leads outside")
    if base.startswith("._"):
        raise StrangeNameError("a resource file of macOS")
    if _SIDECAR.fullmatch(base):
        return None
    raise StrangeNameError("no post id for a name")


def post_of(name: str) -> int | None:
    """Return the post of an image by its name; None for any other name."""
    try:
        return post_id(name)
    except StrangeNameError:
        return None


def md5_of(name: str) -> bytes | None:
    """Return the MD5 that an image is named by, 16 bytes; None if the name is of another form."""
    matched = _MD5.fullmatch(name) if len(name) > _MD5_DIGITS else None
    return bytes.fromhex(matched[1]) if matched and not name.startswith("/") else None


def image_of(member: Member) -> int | None:
    """Return the post whose image a member is, by its name and kind; None for files that usually lie beside images.

    Raises:
        StrangeNameError: the member is not an image of a post; the message says what it is.
    """
    try:
        number = post_id(member.name.rstrip("/"))
    except StrangeNameError as error:
        # Folders in an archive are normal, unless their names are paths out of it.
        if member.kind == "a folder" and "path" not in str(error):
            return None
        raise
    if number is not None and member.kind != "a file":
        raise StrangeNameError(member.kind)
    return number


@dataclass(frozen=True)
class Claim:
    """The posts that an archive's name announces: ids with `low <= id < high and id % modulus == rest`."""

    modulus: int = 1
    """1, 10 or 1000."""
    rest: int = 0
    low: int = 0
    high: int = _NO_BOUND

    def of(self, ids: Ids) -> Ids:
        """Return the ids among ascending ids that are in the claim."""
        part = ids[np.searchsorted(ids, self.low) : np.searchsorted(ids, self.high)]
        return part if self.modulus == 1 else part[part % self.modulus == self.rest]

    def mask(self, ids: Ids) -> Any:
        """Return for ids, in any order, whether each is in the claim, (N,) bool."""
        return (self.low <= ids) & (ids < self.high) & (ids % self.modulus == self.rest)

    @property
    def is_range(self) -> bool:
        """Whether the claim is a range of ids, and not a rest of id % modulus."""
        return self.high < _NO_BOUND

    def has(self, post_id: int) -> bool:
        """Return whether a post is in the claim."""
        return self.low <= post_id < self.high and post_id % self.modulus == self.rest


EVERYTHING: Final = Claim()


@dataclass(frozen=True)
class Layout:
    """A rule by which the name of an archive, or of a folder of images, announces its posts."""

    words: str
    """The layout in words."""
    example: str
    """The name of an archive of this layout, without its extension."""
    pattern: re.Pattern[str]
    """Matches the whole name. Its group `number` is the rest of id % `modulus`, or the first id of a range."""
    modulus: int = 1
    """Archives hold the posts whose id % modulus is the number; 1 if archives hold ranges of ids."""
    span: int = 0
    """How many ids each range has; 0 if archives do not hold ranges."""

    def claim(self, stem: str) -> ArchiveName | None:
        """Return what a name announces; None if it is not of this layout."""
        if (matched := self.pattern.fullmatch(stem)) is None:
            return None
        number, layer = int(matched["number"]), int(matched.groupdict().get("layer") or 0)
        posts = Claim(low=number, high=number + self.span) if self.span else Claim(self.modulus, number)
        return ArchiveName(posts, layer, self.words)


@dataclass(frozen=True)
class ArchiveName:
    """The facts that the name of an archive, or of a folder of images, announces."""

    claim: Claim
    """The posts that the archive should hold."""
    layer: int
    """The leading digit of `data-0NNN`; a set's later additions have a higher one."""
    layout: str
    """The layout in words."""


def _layout(words: str, example: str, pattern: str, *, modulus: int = 1, span: int = 0) -> Layout:
    return Layout(words, example, re.compile(pattern, re.ASCII), modulus, span)


LAYOUTS: Final = (
    _layout("updates by id % 10", "dataset-4", r".*-(?P<number>\d)", modulus=10),
    _layout("data-NNNN by id % 1000", "data-0123", r"data-(?P<layer>\d)(?P<number>\d{3})", modulus=1000),
    _layout("NNNN by id % 1000", "0123", r"[0x](?P<number>\d{3})", modulus=1000),  # x: a folder of an export
    _layout("ranges of 1000 ids", "12000", r"(?P<number>0|[1-9]\d*000)", span=1000),
)
"""The layouts whose names announce posts; the first that matches counts."""

UNKNOWN: Final = ArchiveName(EVERYTHING, 0, "unknown")


def read_archive_name(stem: str) -> ArchiveName:
    """Recognise a layout of the published sets by the name of an archive without its extension."""
    return next(filter(None, (layout.claim(stem) for layout in LAYOUTS)), UNKNOWN)


def archive_kind(name: str) -> str:
    """Return `tar`, `zip` or `parquet` by the name of a file; "" if it is no archive of images."""
    if TAR_NAME.search(name):
        return "tar"
    suffix = name.lower().rpartition(".")[2]
    if suffix == "parquet" or (suffix == "zip" and not _UGOIRA.fullmatch(name)):
        return suffix
    return ""


def update_date(parts: Sequence[str]) -> str:
    """Return the last date in the names of an update and of the folders above it.

    Returns:
        `20240522` for a day (`20240522`, `2024-05-22`); `202405` for a month (`2024-05`, `2024_05`); "" without a
        date. A name `202405` is not a date, because ids look like that.
    """
    dates = _DATE.findall("/".join(parts))
    return "".join(dates[-1]) if dates else ""


def storable(name: str) -> str:
    """Return the name of a file or member as text that can be stored; bytes that are not UTF-8 become escapes."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a name from JSON can hold surrogates that stand for no bytes
        return name.encode("utf-8", "backslashreplace").decode()


MD5: Final = np.dtype("S16")
"""An MD5 as 16 bytes; NumPy drops zeros at the end, and two MD5s stay different nevertheless."""


@dataclass(frozen=True)
class Hashes:
    """MD5s and their posts; several posts may share one."""

    md5s: Any
    """(N,) of `MD5`, ascending."""
    ids: Ids
    """The posts, (N,) int64; of one MD5 ascending."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, int]]) -> Hashes:
        """Return the hashes of pairs of MD5, 16 bytes, and post."""
        rows = sorted(pairs)
        return cls(
            np.array([md5 for md5, _ in rows], MD5), np.array([number for _, number in rows], np.int64)
        )

    def posts(self, md5s: Any) -> Ids:
        """Return the first post of each MD5, (N,) int64; -1 for an MD5 that is not there."""
        if not len(self.ids):
            return np.full(len(md5s), -1)
        places = np.minimum(np.searchsorted(self.md5s, md5s), len(self.ids) - 1)
        return np.where(self.md5s[places] == md5s, self.ids[places], -1)

    def among(self, ids: Ids) -> Hashes:
        """Return the hashes of some posts, (N,) int64, ascending."""
        is_wanted = is_among(self.ids, ids)
        return Hashes(self.md5s[is_wanted], self.ids[is_wanted])

    @cached_property
    def sharers(self) -> dict[int, list[int]]:
        """The further posts of MD5s that several posts share, by the first post."""
        first = np.searchsorted(self.md5s, self.md5s)
        sharers: dict[int, list[int]] = {}
        for place in np.flatnonzero(first < np.arange(len(first))).tolist():
            sharers.setdefault(int(self.ids[first[place]]), []).append(int(self.ids[place]))
        return sharers


NO_HASHES: Final = Hashes.of(())
