"""Where the images of a tar lie, so that a few of many can be read without walking the archive.

The indexes that deepghs publishes beside its tars are used, and those of `ID: [start, end]` in JSON. Of other
archives our own is kept beside the tar, or in the user's cache where that place cannot be written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.files import replacing
from hakubooru.image.names import StrangeNameError, post_id
from hakubooru.image.remote import is_remote, read_index_of, read_ranges
from hakubooru.image.spans import read_spans
from hakubooru.image.tar import BLOCK, DamagedTarError, Member, image_of, parse_header, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids

SUFFIX: Final = ".hbindex"
_VERSION: Final = 4
_NAME: Final = 100
"""Bytes of a name that a header has room for."""
_INTEGER: Final = "<i8"
_LARGEST_JSON: Final = 256 * 2**20
_LARGEST_TAR: Final = 2**50
"""Bytes; what lies beyond is no place in an archive."""


class StaleIndexError(Exception):
    """An index that does not belong to the archive as it is now."""


@dataclass(frozen=True)
class TarIndex:
    """The images of a tar, in its order."""

    ids: Ids
    """Posts, (N,) int64; one can stand here twice."""
    offsets: Ids
    """Where the contents start, (N,) int64."""
    sizes: Ids
    """Bytes, (N,) int64."""
    strange: tuple[tuple[str, str], ...] = ()
    """Members that no image is taken from: name and reason."""
    damage: str = ""
    """Why the archive could not be read to its end."""
    names: dict[int, str] = field(default_factory=dict)
    """Of images by their place here: names that the header before the contents does not have in full."""


class Recorder:
    """Makes an index of the members that it is shown."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int]] = []
        self._strange: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}

    def add(self, member: Member) -> int | None:
        """Take down a member; gives the post whose image it is.

        Raises:
            StrangeNameError: it is something that no image is taken from, which is taken down as well.
        """
        try:
            number = image_of(member)
        except StrangeNameError as error:
            self._strange.append((member.name, str(error)))
            raise
        if number is not None:
            if len(member.name) >= _NAME or not member.name.isascii():
                self._names[len(self._rows)] = member.name
            self._rows.append((number, member.offset, member.size))
        return number

    def take_down(self, member: Member) -> bool:
        """The same, for a reader that asks which members are wanted: none is."""
        with contextlib.suppress(StrangeNameError):
            self.add(member)
        return False

    def index(self, damage: str = "") -> TarIndex:
        """What was taken down."""
        rows = np.array(self._rows, np.int64).reshape(-1, 3)
        return TarIndex(rows[:, 0], rows[:, 1], rows[:, 2], tuple(self._strange), damage, self._names)


def build_index(path: str) -> TarIndex:
    """Walk the headers of an archive."""
    recorder = Recorder()
    damage = ""
    try:
        for _ in read_tar(path, recorder.take_down):
            pass
    except DamagedTarError as error:
        damage = str(error)
    return recorder.index(damage)


def load_index(path: str, size: int | None = None) -> TarIndex | None:
    """The index of an archive, where there is one that belongs to it; one that is damaged counts as none.

    Args:
        path: the archive, or its URL.
        size: bytes of a remote archive, where they are known; of another its file tells.

    Raises:
        OSError: the index of a remote archive cannot be had, is damaged, or of another archive.
    """
    if is_remote(path):
        try:
            parsed = _parse_json(read_index_of(path), size)
        except StaleIndexError as error:
            raise OSError(
                f"the .json beside {path} is of another archive: {error}; fetch both anew from one source"
            ) from error
        if parsed is None:
            raise OSError(f"the .json beside {path} is no index, or cut short")
        return parsed[0]
    for place in (_beside, _in_cache):
        found = _load_own(place(path), path)
        if found is not None:
            return found
    return _load_json(Path(path).with_suffix(".json"), path)


def state_of(path: str) -> dict[str, int]:
    """What changes with an archive: its bytes, and when it was written to, in nanoseconds."""
    status = os.stat(path)  # noqa: PTH116 - once for every archive
    return {"bytes": status.st_size, "changed": status.st_mtime_ns}


def save_index(path: str, index: TarIndex, state: dict[str, int]) -> None:
    """Keep an index beside its archive, or else in the user's cache; where neither can be written to, do without.

    Args:
        path: the archive.
        index: of it.
        state: of the archive before it was walked: one that is being written meanwhile has another afterwards, to
            which the index does not belong.
    """
    for place in (_beside(path), _in_cache(path)):
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as part, part.open("wb") as file:
                file.write(json.dumps(_about(index, state)).encode() + b"\n")
                file.write(np.stack([index.ids, index.offsets, index.sizes]).astype(_INTEGER).tobytes())
            return


def read_indexed(path: str, index: TarIndex, rows: Any) -> Iterator[tuple[Member, bytes]]:
    """Read some images of a tar, in its order, one at a time.

    Args:
        path: the archive.
        index: belongs to it.
        rows: which of the index's images, (M,) ascending.

    Raises:
        StaleIndexError: the archive has something else there.
        OSError: it cannot be read.
    """
    places = list(
        zip(index.ids[rows].tolist(), index.offsets[rows].tolist(), index.sizes[rows].tolist(), strict=True)
    )
    spans = ((offset - BLOCK, offset + size) for _, offset, size in places)
    parts: Iterator[bytes | memoryview] = (read_ranges if is_remote(path) else read_spans)(path, spans)
    for row, (number, offset, size), found in zip(rows, places, parts, strict=True):
        try:
            member = parse_header(bytes(found[:BLOCK]), offset - BLOCK, offset + size)
        except DamagedTarError as error:
            raise StaleIndexError(str(error)) from error
        # Of a long name the header has the first part, so that only a whole one can be compared.
        is_other = _names_another(member.name, number)
        # Nor has it a size where extension headers do (8 GiB and more), which no image has.
        if len(found) != BLOCK + size or member.size != size or member.kind != "a file" or is_other:
            raise StaleIndexError(f"post {number} is not at byte {offset:,}, with {size:,} bytes")
        member.name = index.names.get(int(row), member.name)
        yield member, bytes(memoryview(found)[BLOCK:])


def _names_another(name: str, number: int) -> bool:
    try:
        return post_id(name) != number
    except StrangeNameError:
        return len(name.encode("utf-8", "surrogateescape")) < _NAME


def _about(index: TarIndex, state: dict[str, int]) -> dict[str, Any]:
    about = {"images": len(index.ids), "strange": index.strange, "damage": index.damage, "names": index.names}
    return {"version": _VERSION} | state | about


def _load_own(place: Path, path: str) -> TarIndex | None:
    """A line of JSON that says of which archive it is, then ids, offsets and sizes, 8 bytes each."""
    try:
        line, _, rows = place.read_bytes().partition(b"\n")
        about = json.loads(line)
        if about | {"version": _VERSION} | state_of(path) != about:
            return None  # of another archive, or of this one before it changed
        ids, offsets, sizes = np.frombuffer(rows, _INTEGER).reshape(3, about["images"])
        strange = tuple((str(name), str(reason)) for name, reason in about["strange"])
        damage = str(about["damage"])
        names = {int(row): str(name) for row, name in about["names"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if len(ids) and not (
        offsets.min() >= BLOCK and sizes.min() >= 0 and (sizes <= about["bytes"] - offsets).all()
    ):
        return None
    return TarIndex(ids, offsets, sizes, strange, damage, names)


def _load_json(place: Path, path: str) -> TarIndex | None:
    try:
        if place.stat().st_size > _LARGEST_JSON:
            return None
        found = _parse_json(place.read_bytes(), Path(path).stat().st_size)
        if found is None:
            return None
        index, end = found
        # Images that were added to the archive later would never be found.
        behind = Recorder()
        for _ in read_tar(path, behind.take_down, end):
            pass
    except (OSError, StaleIndexError, DamagedTarError):
        return None
    return None if len(behind.index().ids) else index


def _parse_json(text: bytes, end: int | None) -> tuple[TarIndex, int] | None:
    """`{"filesize": …, "files": {name: {"offset": …, "size": …}}}`, or `{name: [start, end]}`, the end included.

    Args:
        text: the JSON.
        end: bytes of the archive, where they are known.

    Returns:
        the index, and where the member after the last would begin.

    Raises:
        StaleIndexError: it is of an archive with other bytes.
    """
    try:
        found = json.loads(text)
        said = found.get("filesize", end)
        if end is not None and said != end:
            raise StaleIndexError(f"its filesize is {said}, and the archive has {end} bytes")
        if isinstance(found.get("files"), dict):
            spans = [(name, int(at["offset"]), int(at["size"])) for name, at in found["files"].items()]
        else:
            spans = [(name, int(start), int(last) + 1 - int(start)) for name, (start, last) in found.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    recorder = Recorder()
    last = 0
    for name, offset, size in sorted(spans, key=lambda span: span[1]):
        if offset < BLOCK or size < 0 or offset + size > (_LARGEST_TAR if end is None else end):
            return None
        recorder.take_down(Member(name, size, offset))
        last = offset + size + -size % BLOCK
    return recorder.index(), last


def _beside(path: str) -> Path:
    return Path(path + SUFFIX)


def _in_cache(path: str) -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 - only where there is no index beside the archive

    name = hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogateescape")).hexdigest()  # noqa: PTH100 - a string goes in
    return user_cache_path("hakubooru") / "index" / f"{name}{SUFFIX}"
