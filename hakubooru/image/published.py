"""Published indexes of tars: the forms in which they are written, where they lie, and what they leave out.

An index is a JSON file of the tar's name. It lies beside the tar (deepghs), in a folder `index` beside the tar's folder
(picollect), or in another repository or folder, under the same path (nyanko7, KBlueLeaf).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Final

from hakubooru.image.layouts import TAR_NAME
from hakubooru.image.tar import BLOCK, DamagedTarError, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hakubooru.image.tar import Member, Stream

REPOSITORIES: Final = {
    "nyanko7/danbooru2023": ("deepghs/danbooru2023_index",),
    "KBlueLeaf/danbooru2023-webp-4Mpixel": ("deepghs/danbooru2023-webp-4Mpixel_index",),
    "NebulaeWis/e621-2024-webp-4Mpixel": (
        "deepghs/e621-2024-webp-4Mpixel_index",
        "NebulaeWis/e621-2024_index",
    ),
    "boxingscorpionbagel/e621-2024": ("deepghs/e621-2024_index",),
}
"""Repositories of the Hub with images, and the repositories that hold the indexes of their tars."""
FOLDER: Final = "index"
"""The name of a folder of indexes beside a folder of tars."""
_EXTENSION: Final = 3 * BLOCK
"""The bytes up to which a gap is taken for the extension headers of the member after it, which most tars have."""
_PADDING: Final = 22 * BLOCK
"""The bytes up to which the rest of a tar is taken for its end mark and its padding to a record of 20 blocks."""
_MOST: Final = 256
"""The most members that are looked for; over a network each takes a request."""

Span = tuple[str, int, int]
"""The name, offset and size of a member that an index names."""


class StaleIndexError(Exception):
    """Raised for an index that does not fit the archive as it is now."""


class _PastError(Exception):
    """Raised at the first member behind a gap."""


def known_places(url: str) -> list[str]:
    """Return the URLs of the repositories that hold the indexes of a repository of images, if these are known."""
    for images, indexes in REPOSITORIES.items():
        begin, separator, _ = f"{url}/".partition(f"datasets/{images}/")
        if not separator:
            begin, separator, _ = re.sub("@[^/]+/", "/", f"{url}/").partition(f"datasets/{images}/")
        if separator:
            return [f"{begin}datasets/{name}" for name in indexes]
    return []


def json_of(tar: str) -> str:
    """Return the path or URL of the index beside a tar."""
    return TAR_NAME.sub(".json", tar)


class Listing:
    """The indexes below some places, found by the names of tars."""

    def __init__(self, names: Iterable[str]) -> None:
        """Keep the JSON files among some paths or URLs."""
        self._by_name: dict[str, list[list[str]]] = {}
        for name in names:
            if name.endswith(".json"):
                parts = re.split(r"[/\\]", name)
                self._by_name.setdefault(parts[-1], []).append(parts)

    def index_of(self, tar: str) -> str:
        """Return the index whose name is the tar's, and whose folders agree most with the tar's; "" without one.

        If several agree equally well, none is returned.
        """
        wanted = re.split(r"[/\\]", json_of(tar))[::-1]
        best: tuple[int, str] = (0, "")
        for parts in self._by_name.get(wanted[0], ()):
            shared = next(
                (
                    at
                    for at, (one, other) in enumerate(zip(wanted, parts[::-1], strict=False))
                    if one != other
                ),
                min(len(wanted), len(parts)),
            )
            if shared == best[0]:
                best = (shared, "")
            elif shared > best[0]:
                best = (shared, "/".join(parts))
        return best[1]


def files_below(places: Sequence[str]) -> list[str]:
    """Return the JSON files at any depth of some folders."""
    return [
        f"{at}/{name}"
        for place in places
        for at, _, names in os.walk(place)
        for name in names
        if name.endswith(".json")
    ]


def local_index(tar: Path, listing: Listing) -> str:
    """Return the path of a tar's published index: beside it, in a folder `index`, or in a listing; "" without one."""
    name = json_of(tar.name)
    folder = tar.parent
    for place in (f"{folder}/{name}", f"{folder.parent}/{FOLDER}/{name}", f"{folder}/{FOLDER}/{name}"):
        if os.path.isfile(place):  # noqa: PTH113 - Path costs more than the call
            return place
    return listing.index_of(tar.as_posix())


def parse_index(text: bytes, end: int) -> list[Span] | None:
    """Parse a published index.

    The forms are `{"filesize": …, "files": {name: {"offset": …, "size": …}}}` (hfutils), the same with `length` for
    `size` (webshart), and `{name: [start, end]}`, where the byte `end` is included.

    Args:
        text: the JSON.
        end: the bytes of the archive.

    Returns:
        name, offset and size of each member, by offset; None if the text is not an index.

    Raises:
        StaleIndexError: the index belongs to an archive of another size.
    """
    try:
        table = json.loads(text)
        filesize = table.get("filesize", end)
        if filesize != end:
            raise StaleIndexError(f"its filesize is {filesize}, but the archive has {end} bytes")
        if isinstance(table.get("files"), dict):
            spans = [
                (name, int(at["offset"]), int(at["size"] if "size" in at else at["length"]))
                for name, at in table["files"].items()
            ]
        else:
            spans = [(name, int(start), int(last) + 1 - int(start)) for name, (start, last) in table.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    if any(offset < BLOCK or size < 0 or offset + size > end for _, offset, size in spans):
        return None
    return sorted(spans, key=lambda span: span[1])


def gaps(spans: Iterable[Span], end: int) -> Iterator[tuple[int, int]]:
    """Yield where members may lie that an index does not name: start and end, in bytes.

    Args:
        spans: the members that the index names, by offset.
        end: the bytes of the tar.
    """
    at = 0
    for _, offset, size in spans:
        begin = offset - BLOCK
        if begin - at > _EXTENSION:
            yield at, begin
        at = max(at, offset + size + -size % BLOCK)
    if end - at > _PADDING:
        yield at, end


def left_out(file: Stream, spans: Iterable[Span], end: int) -> tuple[list[Member], str]:
    """Find the members of a tar that its index leaves out.

    Args:
        file: the tar.
        spans: the members that the index names, by offset.
        end: the bytes of the tar.

    Returns:
        the members; and "", or a text that says that there are more, which were not looked for one by one.

    Raises:
        OSError: the tar cannot be read.
    """
    members: list[Member] = []
    for start, stop in gaps(spans, end):

        def see(member: Member, stop: int = stop) -> bool:
            if member.header >= stop or len(members) > _MOST:
                raise _PastError
            members.append(member)
            return False

        with contextlib.suppress(_PastError, DamagedTarError):  # damage is met again by who reads the tar
            for _ in walk(file, start, end, see, see):
                pass
        if len(members) > _MOST:
            return members[:_MOST], f"has more than {_MOST} members that its published index leaves out"
    return members, ""
