"""The work of one archive: read its wanted images and hand them, with their captions, to a sink.

And that of some posts, where captions are all that is exported.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import numpy as np

from hakubooru.export.engine import StoppedError
from hakubooru.export.own import OwnImages
from hakubooru.export.reading import Images
from hakubooru.export.records import Outcome, Pair
from hakubooru.export.sinks.base import place
from hakubooru.image.convert import COPY, ImageFormat
from hakubooru.image.index import StaleIndexError, load_index
from hakubooru.image.own import OwnFolder
from hakubooru.image.remote import is_remote
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Task
    from hakubooru.export.sinks import Sink, Writer
    from hakubooru.image.header import ImageHeader
    from hakubooru.store.store import Store

_CAPTIONS_A_TIME: Final = 1000
_KEPT_BYTES: Final = 32 * 2**20
"""Of images that stay in memory until their captions come."""


class Captions(Protocol):
    """What gives captions; can be sent to another process."""

    def captioned(self, ids: Ids) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Ids with their captions and how many tags each part has, in the order of the ids."""
        ...


class CaptionsOfPosts(Captions, Protocol):
    """Those of a database's posts."""

    def prepare(self, ids: Ids) -> None:
        """Told in one process, before the captions of some of these posts are asked for in it, and of no others."""
        ...


@dataclass(frozen=True)
class ExportArchive:
    """Exports what is wanted of one archive; the work of an engine."""

    sink: Sink
    """Where the pairs go."""
    captions: Captions
    shape: ImageFormat = COPY
    """Which images are taken, and what is made of them."""
    as_stored: bool = False
    """Record the sizes of stored pictures, not of upright ones: for an export that was begun so."""

    @property
    def decodes(self) -> bool:
        """As the format of the images has it."""
        return self.shape.decodes

    def __call__(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        """Do it.

        Args:
            task: the archive and the posts.
            stopped: is asked before each image.

        Raises:
            StoppedError: `stopped` said so. What the sink has of the archive by then is written again next time.
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
        if archive.is_folder:
            return self._export(Images(task, self.shape), self.captions, stopped)
        try:
            index = load_index(archive.path, archive.stamp if is_remote(archive.path) else None)
        except OSError as error:
            raise _LostError(str(error)) from error
        try:
            return self._export(Images(task, self.shape, index), self.captions, stopped)
        except StaleIndexError as error:
            if is_remote(archive.path):
                raise _LostError(f"its index is of another archive: {error}") from error
            return self._export(Images(task, self.shape), self.captions, stopped)

    def _export(self, images: Images, captions: Captions, stopped: Callable[[], bool]) -> Outcome:
        most = _KEPT_BYTES if self.sink.keeps_images else None
        with self.sink.writer(images.task.key) as writer:
            captioned = _Captioned(captions, writer, images, as_stored=self.as_stored)
            for number, header, data in images:
                if stopped():
                    raise StoppedError
                captioned.add(number, header, data)
                if len(captioned.waiting) >= _CAPTIONS_A_TIME or (most and captioned.bytes >= most):
                    captioned.finish()
            captioned.finish()
            # With an error the sink throws away what was begun.
            if images.outcome.lost:
                raise _LostError(images.outcome.lost)
        return images.outcome


class _LostError(Exception):
    """An archive cannot be read; the message says why."""


@dataclass(frozen=True)
class ExportCaptions:
    """Exports the captions of some posts, with sizes as the database has them; the work of an engine."""

    sink: Sink
    captions: Captions
    database: Store
    decodes: ClassVar = False

    def __call__(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        """Do it; raises what `ExportArchive` does."""
        statement = (
            "SELECT id, image_width, image_height FROM post WHERE id IN (SELECT value FROM json_each(?))"
        )
        sizes = {
            number: (width, height)
            for number, width, height in self.database.rows(statement, [id_text(task.wanted)])
        }
        outcome = Outcome(task.key, task.stamp)
        with self.sink.writer(task.key) as writer:
            for number, text, parts in self.captions.captioned(task.wanted):
                if stopped():
                    raise StoppedError
                data = text.encode()
                writer.image(number, place(number, "txt"), data)
                path = writer.caption(number, text)
                digest = hashlib.sha256(data).hexdigest()
                outcome.pairs.append(
                    Pair(number, path, *sizes[number], len(data), digest, text, _as_json(parts))
                )
        return outcome


class _Captioned:
    """Gives images their captions, some hundreds at a time, and puts the pairs on record."""

    def __init__(self, captions: Captions, writer: Writer, images: Images, *, as_stored: bool) -> None:
        self.captions = captions
        self.as_stored = as_stored
        self.writer = writer
        self.images = images
        self.waiting: dict[int, Pair] = {}
        self.bytes = 0
        """Of the images that wait."""

    def add(self, number: int, header: ImageHeader, data: bytes) -> None:
        self.writer.image(number, self.images.place(number, header.extension), data)
        digest = hashlib.sha256(data).hexdigest()
        size = (self.as_stored and header.stored) or (header.width, header.height)
        self.waiting[number] = Pair(number, "", *size, len(data), digest, "", "")
        self.bytes += len(data)

    def finish(self) -> None:
        """Write the captions of what waits, in the order of the images."""
        if not self.waiting:
            return
        ids = np.array(sorted(self.waiting), np.int64)
        found = {number: (text, _as_json(parts)) for number, text, parts in self.captions.captioned(ids)}
        for number, pair in self.waiting.items():
            text, parts = found[number]
            path = self.writer.caption(number, text)
            self.images.outcome.pairs.append(pair._replace(path=path, caption=text, parts=parts))
        self.waiting.clear()
        self.bytes = 0


def _as_json(parts: dict[str, int]) -> str:
    return json.dumps(parts) if parts else ""
