"""Reading the wanted images of one archive, in its order, and writing them, with captions, to a sink."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hakubooru.arrays import is_among
from hakubooru.export.engine import StoppedError
from hakubooru.export.pairs import Broken, Outcome, Pair, own_place, place
from hakubooru.image.containers import READERS
from hakubooru.image.convert import COPY, ImageFormat, UnfitImageError
from hakubooru.image.folders import OwnCaptions, OwnFolder, images_in
from hakubooru.image.header import LARGEST_BYTES, ImageHeader, read_header
from hakubooru.image.index import (
    Recorder,
    TarIndex,
    load_index,
    read_indexed,
    save_index,
    state_of,
)
from hakubooru.image.kinds import BrokenImageError
from hakubooru.image.layouts import MD5, StrangeNameError, md5_of
from hakubooru.image.published import StaleIndexError
from hakubooru.image.sources import Archive
from hakubooru.image.tar import DamagedTarError, Member, is_compressed, read_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.pairs import Task
    from hakubooru.export.sinks import Sink, Writer

_TOO_LARGE: Final = f"larger than {LARGEST_BYTES // 2**20} MiB"
_STRANGE_MD5: Final = "an MD5 for a name, in an archive whose first images have posts"
_CAPTIONS_A_TIME: Final = 1000
_KEPT_BYTES: Final = 32 * 2**20
"""The most bytes of images that wait in memory for their captions."""


class Captions(Protocol):
    """Gives captions; can be sent to another process."""

    def captioned(self, ids: Ids) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Yield ids, their captions, and how many tags each part has, in the order of `ids`."""
        ...


class CaptionsOfPosts(Captions, Protocol):
    """Gives the captions of a database's posts."""

    def prepare(self, ids: Ids) -> None:
        """Get ready for the captions of these posts in this process; afterwards no others may be asked for."""
        ...


@dataclass(frozen=True)
class ExportArchive:
    """Exports the wanted images of one archive; the work of an engine."""

    sink: Sink
    """The sink that takes the pairs."""
    captions: Captions
    """Gives the captions."""
    shape: ImageFormat = COPY
    """Which images are exported, and how they are converted."""
    as_stored: bool = False
    """Record the sizes of pictures as stored, not upright: for an export that an earlier version began."""
    prefix: str = ""
    """What the names of posts' files begin with."""

    @property
    def decodes(self) -> bool:
        """Whether the format of the images decodes them."""
        return self.shape.decodes

    def __call__(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        """Export the wanted images of one archive.

        Args:
            task: the archive and the posts.
            stopped: is called before each image; True ends the work.

        Raises:
            StoppedError: `stopped` returned True. What was written of the archive is written again next time.
            OSError: the sink cannot write.
        """
        try:
            return self._read(task, stopped)
        except _LostError as error:
            return Outcome(task.key, task.stamp, lost=str(error))

    def _read(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        archive = task.archive
        assert archive is not None
        if isinstance(archive, OwnFolder):
            own = OwnImages(task, archive, self.shape)
            return self._export(own, own, stopped)
        if archive.kind != "tar":
            return self._export(Images(task, self.shape, prefix=self.prefix), self.captions, stopped)
        try:
            size = archive.stamp if archive.is_remote else None
            index = load_index(archive.path, size, archive.index)
        except OSError as error:
            raise _LostError(str(error)) from error
        try:
            return self._export(Images(task, self.shape, index, prefix=self.prefix), self.captions, stopped)
        except StaleIndexError as error:
            if archive.is_remote:
                raise _LostError(f"its index is of another archive: {error}") from error
            return self._export(Images(task, self.shape, prefix=self.prefix), self.captions, stopped)

    def _export(self, images: Images, captions: Captions, stopped: Callable[[], bool]) -> Outcome:
        most = _KEPT_BYTES if self.sink.keeps_images else None
        with self.sink.writer() as writer:
            captioned = _Captioned(captions, writer, images, as_stored=self.as_stored)
            for number, header, data in images:
                if stopped():
                    raise StoppedError
                captioned.add(number, header, data)
                if len(captioned.waiting) >= _CAPTIONS_A_TIME or (most and captioned.bytes >= most):
                    captioned.finish()
            captioned.finish()
            # An error makes the sink discard what it has of this archive.
            if images.outcome.lost:
                raise _LostError(images.outcome.lost)
        return images.outcome


class _LostError(Exception):
    """An archive cannot be read; the message says why."""


class _Captioned:
    """Joins images with their captions, up to a thousand at a time, and adds the pairs to the outcome."""

    def __init__(self, captions: Captions, writer: Writer, images: Images, *, as_stored: bool) -> None:
        self.captions = captions
        self.as_stored = as_stored
        self.writer = writer
        self.images = images
        self.waiting: dict[int, tuple[int, int, int, str]] = {}
        """Width, height, bytes and SHA-256 of the images that wait for captions, by their numbers."""
        self.bytes = 0
        """Bytes of the images that wait for captions."""

    def add(self, number: int, header: ImageHeader, data: bytes) -> None:
        self.writer.image(number, self.images.place(number, header.extension), data)
        width, height = (self.as_stored and header.stored) or (header.width, header.height)
        self.waiting[number] = width, height, len(data), hashlib.sha256(data).hexdigest()
        self.bytes += len(data)

    def finish(self) -> None:
        """Write the captions of the waiting images, in the order of the images."""
        if not self.waiting:
            return
        ids = np.array(sorted(self.waiting), np.int64)
        captioned = list(self.captions.captioned(ids))
        captions = {number: (text, parts_text(parts)) for number, text, parts in captioned}
        for number, image in self.waiting.items():
            text, parts = captions[number]
            path = self.writer.caption(number, text)
            self.images.outcome.pairs.append(Pair(number, path, *image, text, parts))
        self.waiting.clear()
        self.bytes = 0


class Images:
    """Iterates the wanted images of an archive once: post, header and bytes; `outcome` counts what is not yielded."""

    def __init__(
        self, task: Task, shape: ImageFormat = COPY, index: TarIndex | None = None, *, prefix: str = ""
    ) -> None:
        """Keep the task; nothing is read yet.

        Args:
            task: the archive and the posts.
            shape: which images are exported, and how they are converted.
            index: the archive's index; without one, the archive is read from its start to its end.
            prefix: what the names of posts' files begin with.
        """
        self.prefix = prefix
        self.task = task
        self.shape = shape
        self.index = index
        self.outcome = Outcome(task.key, task.stamp)
        self._done: set[int] = set()
        self._recorder = Recorder(task.hashes)
        self._posts: dict[str, int] = {}
        """The posts of wanted members, by name, where they are not read in the order of the list."""
        self._post = 0
        """The post of the last wanted member."""

    def __iter__(self) -> Iterator[tuple[int, ImageHeader, bytes]]:
        try:
            for number, name, data in self._members():
                for post in self._sharing(number):
                    image = self._image(post, name, data)
                    if image is not None:
                        yield post, *image
        except DamagedTarError as error:
            self.outcome.damage = str(error)
        except OSError as error:
            self.outcome.lost = error.strerror or str(error)

    def place(self, number: int, extension: str) -> str:
        """Return the path of an image in an export."""
        return place(number, extension, self.prefix)

    def _members(self) -> Iterator[tuple[int, str, bytes]]:
        archive = self.task.archive
        assert isinstance(archive, Archive)
        if self.index is not None:
            yield from self._indexed(archive.path, self.index)
        elif archive.kind != "tar":
            for member, data in READERS[archive.kind](archive.path, self._wants):
                yield self._posts[member.name], member.name, data
        else:
            yield from self._walked(archive.path)

    def _indexed(self, path: str, index: TarIndex) -> Iterator[tuple[int, str, bytes]]:
        for name, reason in index.strange:
            self.outcome.pass_over(reason, name)
        index = index.resolved(self.task.hashes)
        for md5 in index.hashes if not self._is_by_md5() else ():
            self.outcome.pass_over(_STRANGE_MD5, md5.ljust(16, b"\0").hex())
        claimed = self.task.claim.mask(index.ids)
        self.outcome.strays = int(np.count_nonzero(~claimed & (index.ids >= 0)))
        wanted = claimed & is_among(index.ids, self.task.wanted)
        for number in index.ids[wanted & (index.sizes > LARGEST_BYTES)].tolist():
            self._refuse_large(number)
        rows = np.flatnonzero(wanted & (index.sizes <= LARGEST_BYTES))
        images = read_indexed(path, index, rows)
        for number, (member, data) in zip(index.ids[rows].tolist(), images, strict=True):
            md5 = md5_of(member.name)
            if md5 is not None and self.task.hashes.posts(np.array([md5], MD5)).tolist() != [number]:
                raise StaleIndexError(f"the image of post {number} is not at byte {member.offset:,}")
            yield number, member.name, data
        if index.damage:
            raise DamagedTarError(index.damage)

    def _walked(self, path: str) -> Iterator[tuple[int, str, bytes]]:
        """Read the archive from its start; keep an index for the next run if few images were wanted or some are strays."""
        read = 0
        damage = ""
        state = state_of(path)
        try:
            for member, data in read_tar(path, self._wants):
                read += 1
                yield self._post, member.name, data
        except DamagedTarError as error:
            damage = str(error)
        index = self._recorder.index(damage)
        if (read < len(index.ids) / 2 or self.outcome.strays) and not is_compressed(path):
            save_index(path, index, state)
        if damage:
            raise DamagedTarError(damage)

    def _wants(self, member: Member) -> bool:
        try:
            number = self._recorder.add(member)
        except StrangeNameError as error:
            self.outcome.pass_over(str(error), member.name)
            return False
        if number is None:
            if md5_of(member.name) is not None and not self._is_by_md5():
                self.outcome.pass_over(_STRANGE_MD5, member.name)
            return False
        if not self.task.claim.has(number):
            self.outcome.strays += 1
            return False
        if not _contains(self.task.wanted, number):
            return False
        if member.size > LARGEST_BYTES:
            self._refuse_large(number)
            return False
        self._post = self._posts[member.name] = number
        return True

    def _refuse_large(self, number: int) -> None:
        # Named by its post, since `_indexed` does not know the member's name.
        self.outcome.broken += [Broken(post, str(post), _TOO_LARGE) for post in self._sharing(number)]

    def _sharing(self, number: int) -> list[int]:
        """Return the posts that get the image of a post: others only if it is named by an MD5 that they share."""
        return [number, *self.task.hashes.sharers.get(number, ())]

    def _is_by_md5(self) -> bool:
        return isinstance(self.task.archive, Archive) and self.task.archive.by_md5

    def _image(self, number: int, name: str, data: bytes) -> tuple[ImageHeader, bytes] | None:
        if number in self._done:
            self.outcome.pass_over("a post that the archive has already given", name)
            return None
        try:
            image = self.shape.apply(read_header(data), data)
        except UnfitImageError as error:
            self.outcome.broken.append(Broken(number, name, str(error), "unfit"))
            return None
        except BrokenImageError as error:
            self.outcome.broken.append(Broken(number, name, str(error)))
            return None
        self._done.add(number)
        return image


class OwnImages(Images):
    """Iterates the wanted images of a folder, and reads their captions from the files beside them."""

    def __init__(self, task: Task, folder: OwnFolder, shape: ImageFormat) -> None:
        super().__init__(task, shape)
        self.folder = folder
        self._names: dict[int, str] = {}
        self._captions: dict[int, str] = {}

    def place(self, number: int, extension: str) -> str:
        """Return the path of an image of this folder in an export."""
        return own_place(number, self._names.pop(number), extension)

    def captioned(self, ids: Ids) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Yield numbers and captions of images that were yielded before; the parts are empty, as they are unknown."""
        for number in ids.tolist():
            yield number, self._captions.pop(number), {}

    def _members(self) -> Iterator[tuple[int, str, bytes]]:
        wanted = set(self.task.wanted.tolist())
        captions = OwnCaptions(self.folder)
        for name in images_in(self.folder.path):
            number = self.folder.number(name)
            if number not in wanted:
                continue
            path = Path(self.folder.path, name)
            try:
                caption = captions.of(name)
            except ValueError as error:
                self._refuse(number, name, str(error))
                continue
            if caption is None:
                self._refuse(number, name, "no caption of the same name in .txt beside it, nor in a list")
            elif path.stat().st_size > LARGEST_BYTES:
                self._refuse(number, name, _TOO_LARGE)
            else:
                self._captions[number], self._names[number] = _one_line(caption), name
                yield number, name, path.read_bytes()
        for name in captions.without_image():
            self.outcome.pass_over("a row of a list of captions whose image is not there", name)

    def _refuse(self, number: int, name: str, reason: str) -> None:
        self.outcome.broken.append(Broken(number, name, reason))


def parts_text(parts: dict[str, int]) -> str:
    """Return how many tags of a caption each part has, as JSON; "" if that is not known."""
    if not parts:
        return ""
    # As `json.dumps` writes it, in half the time: names of parts need no escapes.
    counts = ", ".join([f'"{name}": {count}' for name, count in parts.items()])
    return f"{{{counts}}}"


def _contains(ids: Ids, number: int) -> bool:
    at = int(ids.searchsorted(number))
    return at < len(ids) and int(ids[at]) == number


def _one_line(text: str) -> str:
    """Return a caption on one line, as trainers read it: line ends become commas."""
    return re.sub(r"[\s,]*[\r\n][\s,]*", ", ", text.strip())
