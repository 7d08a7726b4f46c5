"""Checking the files of pairs, or the members of a shard, against the manifest: the work of `verify`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hakubooru.export.engine import StoppedError
from hakubooru.export.pairs import beside
from hakubooru.image.decode import check
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from hakubooru.image.tar import BLOCK, DamagedTarError, file_header, parse_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakubooru.export.pairs import Pair


class Problem(NamedTuple):
    """A file that is not what the manifest says."""

    id: int | None
    """The post or own image to export again; None if that mends nothing."""
    path: str
    """The file's path below the export's folder."""
    fault: str
    """The fault, in a few words."""
    is_of_caption: bool = False
    """Whether only a caption file is wrong; the journal has its text."""


@dataclass(frozen=True)
class CheckFiles:
    """Compares files with their rows of the manifest; the work of an engine."""

    out: str
    """The export's folder."""
    decodes: bool
    """Whether every image is decoded too."""
    has_captions: bool
    """Whether each image has a caption beside it."""
    as_stored: bool = False
    """Whether the manifest has the sizes of pictures as stored, not upright."""

    def __call__(self, task: list[Pair], stopped: Callable[[], bool]) -> tuple[int, list[Problem]]:
        """Check some pairs; return their number and their problems.

        Raises:
            StoppedError: `stopped` returned True.
        """
        problems: list[Problem] = []
        for pair in task:
            if stopped():
                raise StoppedError
            try:
                problems += self._check(pair)
            except OSError as error:
                problems.append(Problem(pair.id, pair.path, f"pair cannot be read ({error.strerror})"))
        return len(task), problems

    def _check(self, pair: Pair) -> list[Problem]:
        problems = []
        is_caption = beside(pair.path) == pair.path  # captions alone
        if not is_caption:
            data = _read(Path(self.out, pair.path))
            problems += check_image(pair, data, decode=self.decodes, as_stored=self.as_stored)
        if self.has_captions or is_caption:
            of_caption = check_caption(pair, _read(Path(self.out, beside(pair.path))))
            problems += [problem._replace(is_of_caption=True) for problem in of_caption]
        return problems


@dataclass(frozen=True)
class CheckShard:
    """Compares the members of one shard with its pairs; the work of an engine."""

    out: str
    """The export's folder."""
    decodes: bool
    """Whether every image is decoded too."""
    as_stored: bool = False
    """Whether the manifest has the sizes of pictures as stored, not upright."""

    def __call__(self, task: list[Pair], stopped: Callable[[], bool]) -> tuple[int, list[Problem]]:
        """Check the pairs of one shard; return their number and their problems.

        Raises:
            StoppedError: `stopped` returned True.
        """
        shard = shard_of(task[0])
        images = {pair.path.rpartition("/")[2]: pair for pair in task}
        captions = {beside(name): pair for name, pair in images.items()}
        problems: list[Problem] = []
        try:
            for name, data in _members(Path(self.out, shard)):
                if stopped():
                    raise StoppedError
                if name in images:
                    pair = images.pop(name)
                    problems += check_image(pair, data, decode=self.decodes, as_stored=self.as_stored)
                elif name in captions:
                    problems += check_caption(captions.pop(name), data)
                else:
                    problems.append(Problem(task[0].id, f"{shard}/{name}", "member that belongs to no pair"))
        except (FileNotFoundError, IsADirectoryError):
            pass  # the loops below report each image and caption of the shard as missing
        except (DamagedTarError, OSError):
            problems.append(Problem(task[0].id, shard, "shard is damaged"))
        for pair in images.values():
            problems += check_image(pair, None, decode=False)
        for pair in captions.values():
            problems += check_caption(pair, None)
        return len(task), problems


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a shard's members; compare every byte between them with what an export writes.

    Raises:
        DamagedTarError: a byte differs.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2)
        at = file.seek(0)
        while (header := file.read(BLOCK)) != bytes(BLOCK):
            member = parse_header(header, at, end)
            at = member.offset + member.size + -member.size % BLOCK
            is_ours = member.name.isascii() and header == file_header(member.name, member.size)
            data = file.read(member.size) if at <= end else b""
            yield member.name, data
            if not is_ours or any(file.read(-member.size % BLOCK)):
                raise DamagedTarError(f"has unexpected bytes before byte {at:,}")
        if file.read() != bytes(BLOCK):
            raise DamagedTarError("has unexpected bytes after its end mark")


def shard_of(pair: Pair) -> str:
    """Return the path of the shard that a pair lies in."""
    return pair.path.rpartition("/")[0]


def check_image(pair: Pair, data: bytes | None, *, decode: bool, as_stored: bool = False) -> list[Problem]:
    """Return the problem of a pair's image, or none.

    Args:
        pair: the row of the manifest.
        data: the file's bytes; None if there is no file.
        decode: decode the image too.
        as_stored: compare the size of the picture as stored, not upright.
    """
    if data is None:
        wrong = "image is missing"
    elif len(data) != pair.bytes:
        wrong = "image has another size"
    elif hashlib.sha256(data).hexdigest() != pair.sha256:
        wrong = "image has other contents"
    else:
        wrong = ""
        if decode:
            wrong = undecodable(data, pair.width, pair.height, as_stored=as_stored)
    return [Problem(pair.id, pair.path, wrong)] if wrong else []


def check_caption(pair: Pair, data: bytes | None) -> list[Problem]:
    """Return the problem of a pair's caption, or none; `data` is the file's bytes, None if there is no file."""
    if data == pair.caption.encode():
        return []
    return [
        Problem(pair.id, beside(pair.path), "caption is missing" if data is None else "caption is another")
    ]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def undecodable(data: bytes, width: int, height: int, *, as_stored: bool = False) -> str:
    """Return why an image does not decode to a width and height; "" if it does.

    Args:
        data: the whole file.
        width: pixels of the upright picture.
        height: pixels of the upright picture.
        as_stored: width and height are those of the picture as stored.
    """
    try:
        header = read_header(data)
        check(data, header)
    except BrokenImageError:
        return "image cannot be decoded"
    decoded = (as_stored and header.stored) or (header.width, header.height)
    return "" if decoded == (width, height) else "image decodes to another width or height"
