"""Reading the wanted images of one archive, in its order; the outcome counts everything else in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hakubooru.export.records import Broken, Outcome
from hakubooru.export.sinks.base import place
from hakubooru.image.convert import COPY, ImageFormat, UnfitImageError
from hakubooru.image.folder import read_folder
from hakubooru.image.header import LARGEST_BYTES, ImageHeader, read_header
from hakubooru.image.index import Recorder, TarIndex, read_indexed, save_index, state_of
from hakubooru.image.kinds import BrokenImageError
from hakubooru.image.names import StrangeNameError
from hakubooru.image.sources import Archive
from hakubooru.image.tar import DamagedTarError, Member, image_of, is_compressed, read_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Task

_TOO_LARGE = f"larger than {LARGEST_BYTES // 2**20} MiB"


class Images:
    """Iterates the wanted images of an archive once: post, header and bytes; `outcome` counts what is not yielded."""

    def __init__(self, task: Task, shape: ImageFormat = COPY, index: TarIndex | None = None) -> None:
        """Keep the task; nothing is read yet.

        Args:
            task: the archive and the posts.
            shape: which images are exported, and how they are converted.
            index: the archive's index; without one, the archive is read from its start to its end.
        """
        self.task = task
        self.shape = shape
        self.index = index
        self.outcome = Outcome(task.key, task.stamp)
        self._done: set[int] = set()
        self._recorder = Recorder()
        self._post = 0
        """The post of the last wanted member."""

    def __iter__(self) -> Iterator[tuple[int, ImageHeader, bytes]]:
        try:
            for number, name, data in self._members():
                image = self._image(number, name, data)
                if image is not None:
                    yield number, *image
        except DamagedTarError as error:
            self.outcome.damage = str(error)
        except OSError as error:
            self.outcome.lost = error.strerror or str(error)

    def place(self, number: int, extension: str) -> str:
        """Return the path of an image in an export."""
        return place(number, extension)

    def _members(self) -> Iterator[tuple[int, str, bytes]]:
        archive = self.task.archive
        assert isinstance(archive, Archive)
        if self.index is not None:
            yield from self._indexed(archive.path, self.index)
        elif archive.is_folder:
            for member, data in read_folder(archive.path, self._wants):
                yield _number(member), member.name, data
        else:
            yield from self._walked(archive.path)

    def _indexed(self, path: str, index: TarIndex) -> Iterator[tuple[int, str, bytes]]:
        for name, reason in index.strange:
            self.outcome.pass_over(reason, name)
        claimed = self.task.claim.mask(index.ids)
        self.outcome.strays = int(np.count_nonzero(~claimed))
        wanted = claimed & np.isin(index.ids, self.task.wanted)
        for number in index.ids[wanted & (index.sizes > LARGEST_BYTES)].tolist():
            self.outcome.broken.append(Broken(number, str(number), _TOO_LARGE))
        rows = np.flatnonzero(wanted & (index.sizes <= LARGEST_BYTES))
        images = read_indexed(path, index, rows)
        for number, (member, data) in zip(index.ids[rows].tolist(), images, strict=True):
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
            return False
        if not self.task.claim.has(number):
            self.outcome.strays += 1
            return False
        if not _contains(self.task.wanted, number):
            return False
        if member.size > LARGEST_BYTES:
            # Named by its post, as `_indexed` does, which does not know the member's name.
            self.outcome.broken.append(Broken(number, str(number), _TOO_LARGE))
            return False
        self._post = number
        return True

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


def _number(member: Member) -> int:
    number = image_of(member)
    assert number is not None
    return number


def _contains(ids: Ids, number: int) -> bool:
    at = int(np.searchsorted(ids, number))
    return at < len(ids) and int(ids[at]) == number
