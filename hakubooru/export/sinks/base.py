"""The interface of a sink, which writes pairs of image and caption in one form.

A sink is sent to every worker. There it opens a writer for each archive. In the parent it is finished once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair

STATE = ".hakubooru"
"""Folder inside an export that holds what is needed to resume it."""


def place(post_id: int, extension: str) -> str:
    """Return where the file of a post lies in an export: `x012/5012.webp`.

    A folder holds at most a thousandth of all posts. Its name begins with a letter, because kohya's scripts read
    leading digits, `12_name` or `012` alone, as a number of repeats.
    """
    return f"x{post_id % 1000:03d}/{post_id}.{extension}"


def beside(path: str) -> str:
    """Return the path of an image's caption: the image's path with the extension `.txt`."""
    return path.rpartition(".")[0] + ".txt"


class Writer(ABC):
    """Takes the pairs of one archive; used in a `with` statement."""

    @abstractmethod
    def image(self, number: int, path: str, data: bytes) -> None:
        """Write an image to `path`; its caption follows soon."""

    @abstractmethod
    def caption(self, number: int, text: str) -> str:
        """Write the caption of an image that was written before; return the path of the pair."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exc: object) -> None:
        """Close the open files; after an error, discard what is not finished."""


class Sink(ABC):
    """A kind of data set on disk; can be sent to another process."""

    name: ClassVar[str]
    """The sink's name in recipes and commands."""
    has_shards: ClassVar[bool] = False
    """Whether pairs move into shards when all are exported."""
    keeps_images: ClassVar[bool] = False
    """Whether an image stays in memory until its caption comes."""
    writes_captions: ClassVar[bool] = False
    """Whether each image has a file with its caption beside it."""
    needs_images: ClassVar[bool] = True
    """Whether images are exported; if not, a pair's file is its caption."""

    @property
    def has_caption_files(self) -> bool:
        """Whether each caption is a file, beside its image or in its place."""
        return self.writes_captions or not self.needs_images

    @abstractmethod
    def writer(self, archive: str) -> Writer:
        """Return a writer for the pairs of the archive of that name."""

    @abstractmethod
    def holds(self, pair: Pair) -> bool:
        """Return whether a pair's files are there with their sizes."""

    @abstractmethod
    def clean(self) -> None:
        """Prepare the folder, and remove files that a killed run did not finish."""

    @abstractmethod
    def remove(self, pair: Pair) -> None:
        """Remove the files of a pair."""

    @abstractmethod
    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write the list of all pairs, which come in the order of their ids, if the sink has a list."""
