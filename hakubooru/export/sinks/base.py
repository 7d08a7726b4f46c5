"""What a sink is: where pairs of image and caption go, and in which form.

A sink is sent to every worker, opened there once for each archive, and finished once in the parent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair

STATE = ".hakubooru"
"""Folder inside an export for what is needed to take it up again."""


def place(post_id: int, extension: str) -> str:
    """Where the file of a post lies in an export: `x012/5012.webp`.

    No folder holds more than a thousandth of all posts. Its name begins with a letter since kohya's scripts
    take leading digits, `12_name` or `012` alone, as a number of repeats.
    """
    return f"x{post_id % 1000:03d}/{post_id}.{extension}"


def beside(path: str) -> str:
    """Where the caption of an image lies."""
    return path.rpartition(".")[0] + ".txt"


class Writer(ABC):
    """Takes the pairs of one archive; used in a `with` statement."""

    @abstractmethod
    def image(self, number: int, path: str, data: bytes) -> None:
        """Take an image that is to lie at `path`; its caption follows before long."""

    @abstractmethod
    def caption(self, number: int, text: str) -> str:
        """Take the caption of an image that was taken before, and give where the pair lies."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exc: object) -> None:
        """Let go of what is open; what was begun and not ended is thrown away."""


class Sink(ABC):
    """A kind of data set on disk; can be sent to another process."""

    name: ClassVar[str]
    has_shards: ClassVar[bool] = False
    """Whether pairs are brought into shards when all are there."""
    keeps_images: ClassVar[bool] = False
    """Whether an image stays in memory until its caption comes."""
    writes_captions: ClassVar[bool] = False
    """Whether each image has a file with its caption beside it."""
    needs_images: ClassVar[bool] = True
    """Whether there are images at all: without, a caption takes the place of its image."""

    @property
    def has_caption_files(self) -> bool:
        """Whether each caption is a file, beside its image or in its place."""
        return self.writes_captions or not self.needs_images

    @abstractmethod
    def writer(self, archive: str) -> Writer:
        """What takes the pairs of the archive of that name."""

    @abstractmethod
    def holds(self, pair: Pair) -> bool:
        """Whether a pair is still there in full, by its size."""

    @abstractmethod
    def clean(self) -> None:
        """Get ready, and remove what a killed run left half written."""

    @abstractmethod
    def remove(self, pair: Pair) -> None:
        """Remove a pair."""

    @abstractmethod
    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write what tells of all pairs, which come in the order of their ids."""
