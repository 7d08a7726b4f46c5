"""Exporting captions alone: the work of an engine where no images are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hakubooru.arrays import id_text
from hakubooru.export.archive import parts_text
from hakubooru.export.engine import StoppedError
from hakubooru.export.pairs import Outcome, Pair, place, prefix_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakubooru.export.archive import Captions
    from hakubooru.export.pairs import Task
    from hakubooru.export.sinks import Sink
    from hakubooru.store.store import Store


@dataclass(frozen=True)
class ExportCaptions:
    """Exports the captions of a block of posts, with the sizes in the database; the work of an engine."""

    sink: Sink
    captions: Captions
    database: Store
    decodes: ClassVar = False

    def __call__(self, task: Task, stopped: Callable[[], bool]) -> Outcome:
        """Export the captions of a task's posts.

        Args:
            task: the posts.
            stopped: is called before each caption; True ends the work.

        Raises:
            StoppedError: `stopped` returned True.
            OSError: the sink cannot write.
        """
        statement = (
            "SELECT id, image_width, image_height FROM post WHERE id IN (SELECT value FROM json_each(?))"
        )
        sizes = {
            number: (width, height)
            for number, width, height in self.database.rows(statement, [id_text(task.wanted)])
        }
        outcome = Outcome(task.key, task.stamp)
        prefix = prefix_of(self.database.about.site)
        with self.sink.writer() as writer:
            for number, text, parts in self.captions.captioned(task.wanted):
                if stopped():
                    raise StoppedError
                data = text.encode()
                writer.image(number, place(number, "txt", prefix), data)
                path = writer.caption(number, text)
                digest = hashlib.sha256(data).hexdigest()
                outcome.pairs.append(
                    Pair(number, path, *sizes[number], len(data), digest, text, parts_text(parts))
                )
        return outcome
