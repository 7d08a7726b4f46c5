"""Images in subfolders, with one file that has all captions."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hakubooru.export.sinks.folder import FolderSink
from hakubooru.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair


class ListedSink(FolderSink):
    """Images, and a list of them with their captions."""

    writes_captions = False
    file: ClassVar[str]
    """The list's name."""

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write the list."""
        with replacing(Path(self.out, self.file)) as part:
            self.write(part, pairs)

    def write(self, path: Path, pairs: Iterator[Pair]) -> None:
        """Write the list to some file."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.lines(pairs))

    @abstractmethod
    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """The lines of the list, each with its end."""


class ImageFolderSink(ListedSink):
    """What `datasets.load_dataset("imagefolder", data_dir=OUT)` reads: images, and `metadata.jsonl` beside them.

    A line for each image: `file_name`, `text`, `id`, `width` and `height`.
    """

    name = "imagefolder"
    file = "metadata.jsonl"

    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """A JSON object for each image."""
        for pair in pairs:
            line = {
                "file_name": pair.path,
                "text": pair.caption,
                "id": pair.id if pair.id >= 0 else None,
                "width": pair.width,
                "height": pair.height,
            }
            yield json.dumps(line, ensure_ascii=False) + "\n"


class KohyaJsonSink(ListedSink):
    """What sd-scripts' fine-tuning reads: images, and `meta.json` to be given as `metadata_file` (`--in_json`).

    An image's key is its absolute path with its extension, the one form that both v0.9.1 and v0.10 find: the first asks
    whether the key is a path that exists, the second whether it is absolute. `image_size` is width and height, so that
    no image is opened to learn them; versions that do not know it pass over it. `train_resolution` is none of it: that
    is the size of an image's bucket, not of the image.
    """

    name = "kohya-json"
    file = "meta.json"

    def __init__(self, out: str) -> None:
        super().__init__(out)
        self.folder = os.path.abspath(out)  # noqa: PTH100 - Path.absolute keeps `..`
        """In which the images lie, as the list names it."""

    def key(self, pair: Pair) -> str:
        """What sd-scripts knows an image by."""
        return f"{self.folder}/{pair.path}"

    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """One JSON object, an image a line."""
        last = ""
        for pair in pairs:
            yield last + ",\n" if last else "{\n"
            entry = {"caption": pair.caption, "image_size": [pair.width, pair.height]}
            last = f"{json.dumps(self.key(pair))}: {json.dumps(entry, ensure_ascii=False)}"
        yield last + "\n}\n" if last else "{}\n"

    def listed_folder(self) -> str:
        """The folder in which the images lie by the list that is there; "" where it does not say."""
        try:
            with Path(self.out, self.file).open(encoding="utf-8") as file:
                file.readline()
                first = next(iter(json.loads("{" + file.readline().rstrip(",\n") + "}")), "")
        except (OSError, ValueError):
            return ""
        return first.rpartition("/")[0].rpartition("/")[0]


class KohyaRelativeSink(KohyaJsonSink):
    """The same files with keys that are paths below OUT, with extension: a set that can be moved.

    `OUT` is to be given as `image_dir` (`--train_data_dir`). sd-scripts from v0.10 on finds the images; v0.9.1 does only
    when it is started in `OUT`.
    """

    name = "kohya-json-relative"

    def key(self, pair: Pair) -> str:
        """The path below OUT."""
        return pair.path

    def listed_folder(self) -> str:
        """Such a list names no folder."""
        return ""
