"""The work of one archive: read its wanted images and hand them, with their captions, to a sink."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hakubooru.export.engine import StoppedError
from hakubooru.export.reading import Images
from hakubooru.export.records import Outcome, Pair
from hakubooru.image.convert import COPY, ImageFormat
from hakubooru.image.index import StaleIndexError, load_index
from hakubooru.image.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Task
    from hakubooru.export.sinks import Sink, Writer
    from hakubooru.image.header import ImageHeader

_CAPTIONS_A_TIME: Final = 1000
_KEPT_BYTES: Final = 32 * 2**20
"""Of images that stay in memory until their captions come."""


class Captions(Protocol):
    """What gives captions; can be sent to another process."""

    def captioned(self, ids: Ids) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Ids with their captions and how many tags each part has, in the order of the ids."""
        ...


@dataclass(frozen=True)
class ExportArchive:
    """Exports what is wanted of one archive; the work of an engine."""

    sink: Sink
    """Where the pairs go."""
    captions: Captions
    shape: ImageFormat = COPY
    """Which images are taken, and what is made of them."""

    def __call__(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        """Do it.

        Args:
            task: the archive and the posts.
            stopped: is asked before each image.

        Raises:
            StoppedError: `stopped` said so. What the sink has of the archive by then is written again next time.
            OSError: the sink cannot write.
        """
        if task.archive.is_folder:
            return self._export(Images(task, self.shape), stopped)
        try:
            index = load_index(task.archive.path)
        except OSError as error:
            return Outcome(task.key, task.archive.stamp, lost=str(error))
        try:
            return self._export(Images(task, self.shape, index), stopped)
        except StaleIndexError as error:
            if is_remote(task.archive.path):
                return Outcome(task.key, task.archive.stamp, lost=f"its index is of another archive: {error}")
            return self._export(Images(task, self.shape), stopped)

    def _export(self, images: Images, stopped: Callable[[], bool]) -> Outcome:
        most = _KEPT_BYTES if self.sink.keeps_images else None
        with self.sink.writer(images.task.key) as writer:
            captioned = _Captioned(self.captions, writer, images.outcome)
            for number, header, data in images:
                if stopped():
                    raise StoppedError
                captioned.add(number, header, data)
                if len(captioned.waiting) >= _CAPTIONS_A_TIME or (most and captioned.bytes >= most):
                    captioned.finish()
            captioned.finish()
        if images.task.is_second:
            images.outcome.passed_over.clear()
        return images.outcome


class _Captioned:
    """Gives images their captions, some hundreds at a time, and puts the pairs on record."""

    def __init__(self, captions: Captions, writer: Writer, outcome: Outcome) -> None:
        self.captions = captions
        self.writer = writer
        self.outcome = outcome
        self.waiting: dict[int, Pair] = {}
        self.bytes = 0
        """Of the images that wait."""

    def add(self, number: int, header: ImageHeader, data: bytes) -> None:
        path = self.writer.image(number, header.extension, data)
        digest = hashlib.sha256(data).hexdigest()
        self.waiting[number] = Pair(number, path, header.width, header.height, len(data), digest, "", "")
        self.bytes += len(data)

    def finish(self) -> None:
        """Write the captions of what waits, in the order of the images."""
        if not self.waiting:
            return
        ids = np.array(sorted(self.waiting), np.int64)
        found = {number: (text, json.dumps(parts)) for number, text, parts in self.captions.captioned(ids)}
        for number, pair in self.waiting.items():
            text, parts = found[number]
            self.writer.caption(number, text)
            self.outcome.pairs.append(pair._replace(caption=text, parts=parts))
        self.waiting.clear()
        self.bytes = 0
