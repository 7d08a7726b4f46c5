"""Sinks write pairs of image and caption in one form; each module of this package is the sink of its name.

A recipe's `[output]` names the sink. The sink is sent to every worker. There it opens a writer for each archive. In the
parent it is finished once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, check, read_section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakubooru.export.journal import Journal
    from hakubooru.export.pairs import Pair

SINKS: Final = tuple(module.name.replace("_", "-") for module in iter_modules(__path__))
"""The names of the sinks."""
SHARD_IMAGES: Final = 10_000
SHARD_BYTES: Final = 10**9


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
    """A kind of data set on disk; can be sent to another process.

    A sink is one module of `hakubooru.export.sinks`, named as the sink is, with one class.
    """

    name: ClassVar[str]
    """The sink's name in recipes and commands."""
    summary: ClassVar[str]
    """What the sink writes, for the help of the command."""
    has_shards: ClassVar[bool] = False
    """Whether pairs move into shards when all are exported."""
    keeps_images: ClassVar[bool] = False
    """Whether an image stays in memory until its caption comes."""
    writes_captions: ClassVar[bool] = False
    """Whether each image has a file with its caption beside it."""
    needs_images: ClassVar[bool] = True
    """Whether images are exported; if not, a pair's file is its caption."""
    list_name: ClassVar[str] = ""
    """The name of the file that lists all captions; "" if the sink has none."""

    def __init__(self, out: str, *, shard_images: int = SHARD_IMAGES, shard_bytes: int = SHARD_BYTES) -> None:
        """Keep the options.

        Args:
            out: the export's folder.
            shard_images: the most images of a shard, if the sink has shards.
            shard_bytes: the bytes of images by which a shard ends.
        """
        self.out = out
        self.shard_images = shard_images
        self.shard_bytes = shard_bytes

    @property
    def has_caption_files(self) -> bool:
        """Whether each caption is a file, beside its image or in its place."""
        return self.writes_captions or not self.needs_images

    @abstractmethod
    def writer(self) -> Writer:
        """Return a writer for the pairs of one archive."""

    @abstractmethod
    def holds(self, pair: Pair) -> bool:
        """Return whether a pair's files are there with their sizes."""

    @abstractmethod
    def clean(self) -> None:
        """Prepare the folder, and remove files that a killed run did not finish."""

    @abstractmethod
    def remove(self, pair: Pair) -> None:
        """Remove the files of a pair."""

    def recover(self, journal: Journal) -> None:
        """Finish what a killed run had begun to move; by default nothing moves."""
        del journal

    def arrange(self, journal: Journal) -> list[int]:
        """Move all pairs to where they belong, when all are exported; by default they lie there.

        Returns:
            the pairs whose image is lost. Export them again, then arrange again.
        """
        del journal
        return []

    def is_durable(self, pair: Pair) -> bool:
        """Return whether a pair had reached the disk when it was recorded; by default it had not."""
        del pair
        return False

    def write_list(self, path: Path, pairs: Iterator[Pair]) -> None:
        """Write the list to a file of another name."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.lines(pairs))

    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """Yield the lines of the list, each with its line end."""
        raise NotImplementedError(f"the sink {self.name} has no list of {pairs}")

    def wrong_list(self, pairs: Iterator[Pair]) -> str:
        """Return what is wrong with the list on the disk; "" if nothing is.

        Args:
            pairs: the pairs that the list should hold, in its order.
        """
        try:
            with Path(self.out, self.list_name).open(
                encoding="utf-8", errors="replace", newline="\n"
            ) as file:
                is_same = all(file.read(len(line)) == line for line in self.lines(pairs)) and not file.read(1)
        except (FileNotFoundError, IsADirectoryError):
            return "list is missing"
        except OSError as error:
            return f"list cannot be read ({error.strerror})"
        return "" if is_same else "list is not what the manifest says"


@cache
def sink_class(name: str) -> type[Sink]:
    """Return the class of a sink; its module is loaded now.

    Args:
        name: one of `SINKS`.
    """
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    classes = (value for value in vars(module).values() if isinstance(value, type))
    return next(value for value in classes if vars(value).get("name") == name)


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """The form of a data set: a recipe's `[output]`.

    Raises:
        InputError: a field has an invalid value; the message names the field.
    """

    sink: str = "folder"
    """The sink's name; `hakubooru export --help` names all, and says what each one writes."""
    shard_images: Annotated[int, Bounds(1)] = SHARD_IMAGES
    """The most images of a shard."""
    shard_bytes: Annotated[int, Bounds(1)] = SHARD_BYTES
    """A shard ends with the image by which its images reach this many bytes."""

    def __post_init__(self) -> None:
        check(self, "output")
        if self.sink not in SINKS:
            raise InputError(f'output.sink = "{self.sink}"; {nearest(self.sink, SINKS)}')

    def sink_for(self, out: str) -> Sink:
        """Return the sink that writes this form into a folder."""
        return sink_class(self.sink)(out, shard_images=self.shard_images, shard_bytes=self.shard_bytes)

    def settings(self) -> dict[str, object]:
        """Return the options that the files of an export depend on, by name."""
        shards = {
            "shards": "across archives",
            "shard_images": self.shard_images,
            "shard_bytes": self.shard_bytes,
        }
        sink: dict[str, object] = {"sink": self.sink}
        return sink | shards if sink_class(self.sink).has_shards else sink


PAIRS_OF_FILES: Final = OutputFormat()


def output_format(value: OutputFormat | Mapping[str, Any] | None) -> OutputFormat:
    """Return an `OutputFormat` from itself, from a table (a recipe's `[output]`), or from None: pairs of files.

    Raises:
        InputError: the table has an unknown key or an invalid value; the message names the key.
    """
    return PAIRS_OF_FILES if value is None else read_section(OutputFormat, value, "output")
