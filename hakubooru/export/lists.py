"""Sinks that write images in subfolders, and one file that lists all captions."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hakubooru.export.sinks.folder import FolderSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.pairs import Pair


class ListedSink(FolderSink):
    """Writes images, and one file that lists them with their captions."""

    writes_captions = False
    file: ClassVar[str]
    """The name of the list's file."""

    def write(self, path: Path, pairs: Iterator[Pair]) -> None:
        """Write the list to a file of another name."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.lines(pairs))

    @abstractmethod
    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """Yield the lines of the list, each with its line end."""

    def wrong_list(self, pairs: Iterator[Pair]) -> str:
        """Return what is wrong with the list on the disk; "" if nothing is.

        Args:
            pairs: the pairs that the list should hold, in its order.
        """
        try:
            with Path(self.out, self.file).open(encoding="utf-8", errors="replace", newline="\n") as file:
                is_same = all(file.read(len(line)) == line for line in self.lines(pairs)) and not file.read(1)
        except (FileNotFoundError, IsADirectoryError):
            return "list is missing"
        except OSError as error:
            return f"list cannot be read ({error.strerror})"
        return "" if is_same else "list is not what the manifest says"
