"""Published indexes of tars: the forms in which they are written, and where they lie.

An index is a JSON file of the tar's name. It lies beside the tar (deepghs), in a folder `index` beside the tar's folder
(picollect), or in another repository or folder, under the same path (nyanko7, KBlueLeaf).
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Final

from hakubooru.image.layouts import TAR_NAME
from hakubooru.image.tar import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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
_LARGEST_TAR: Final = 2**50
"""The most bytes of an archive; a published index that points beyond them is damaged."""


class StaleIndexError(Exception):
    """Raised for an index that does not fit the archive as it is now."""


def known_places(url: str) -> list[str]:
    """Return the URLs of the repositories that hold the indexes of a repository of images, if these are known."""
    for images, indexes in REPOSITORIES.items():
        begin, found, _ = f"{url}/".partition(f"datasets/{images}/")
        if not found:
            begin, found, _ = re.sub("@[^/]+/", "/", f"{url}/").partition(f"datasets/{images}/")
        if found:
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
            same = next(
                (
                    at
                    for at, (one, other) in enumerate(zip(wanted, parts[::-1], strict=False))
                    if one != other
                ),
                min(len(wanted), len(parts)),
            )
            if same == best[0]:
                best = (same, "")
            elif same > best[0]:
                best = (same, "/".join(parts))
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


def parse_index(text: bytes, end: int | None) -> list[tuple[str, int, int]] | None:
    """Parse a published index.

    The forms are `{"filesize": …, "files": {name: {"offset": …, "size": …}}}` (hfutils), the same with `length` for
    `size` (webshart), and `{name: [start, end]}`, where the byte `end` is included.

    Args:
        text: the JSON.
        end: the bytes of the archive, if they are known.

    Returns:
        name, offset and size of each member, by offset; None if the text is not an index.

    Raises:
        StaleIndexError: the index belongs to an archive of another size.
    """
    try:
        table = json.loads(text)
        filesize = table.get("filesize", end)
        if end is not None and filesize != end:
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
    most = _LARGEST_TAR if end is None else end
    if any(offset < BLOCK or size < 0 or offset + size > most for _, offset, size in spans):
        return None
    return sorted(spans, key=lambda span: span[1])
