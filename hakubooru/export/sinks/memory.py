"""A sink that keeps pairs in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakubooru.export.sinks.base import Sink, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair


class MemorySink(Sink):
    """Keeps pairs in two dictionaries by id, for tests and experiments in one process."""

    name = "memory"

    def __init__(self) -> None:
        self.images: dict[int, bytes] = {}
        self.captions: dict[int, str] = {}

    def writer(self, archive: str) -> Writer:
        """Return a writer into the dictionaries; the archive's name is not used."""
        del archive
        return _MemoryWriter(self)

    def holds(self, pair: Pair) -> bool:
        """Return whether the image and the caption of a pair are there."""
        return pair.id in self.images and pair.id in self.captions

    def clean(self) -> None:
        """Do nothing: memory holds no unfinished files."""

    def remove(self, pair: Pair) -> None:
        """Remove the image and the caption of a pair."""
        del self.images[pair.id], self.captions[pair.id]

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write nothing: the dictionaries are the result."""


class _MemoryWriter(Writer):
    def __init__(self, sink: MemorySink) -> None:
        self.sink = sink
        self.paths: dict[int, str] = {}

    def image(self, number: int, path: str, data: bytes) -> None:
        self.sink.images[number] = data
        self.paths[number] = path

    def caption(self, number: int, text: str) -> str:
        self.sink.captions[number] = text
        return self.paths.pop(number)

    def __exit__(self, *exc: object) -> None:
        pass
