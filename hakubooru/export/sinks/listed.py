"""The sinks `imagefolder` and `kohya-json`: images in subfolders, and one file that lists all captions."""

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
    """Writes images, and one file that lists them with their captions."""

    writes_captions = False
    file: ClassVar[str]
    """The name of the list's file."""

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write the list."""
        with replacing(Path(self.out, self.file)) as part:
            self.write(part, pairs)

    def write(self, path: Path, pairs: Iterator[Pair]) -> None:
        """Write the list to a file of another name."""
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.lines(pairs))

    @abstractmethod
    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """Yield the lines of the list, each with its line end."""


class ImageFolderSink(ListedSink):
    """Writes what `datasets.load_dataset("imagefolder", data_dir=OUT)` reads: images and `metadata.jsonl`.

    The list has a line for each image: `file_name`, `text`, `id`, `width` and `height`.
    """

    name = "imagefolder"
    file = "metadata.jsonl"

    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """Yield a JSON object for each image."""
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
    """Writes what sd-scripts' fine-tuning reads: images, and `meta.json`, which you give as `metadata_file`.

    On the command line of sd-scripts, `metadata_file` is `--in_json`. An image's key is its absolute path with its
    extension. Both v0.9.1 and v0.10 find images by this form: v0.9.1 checks whether the key is a path that exists,
    v0.10 whether it is absolute. `image_size` is width and height, so that sd-scripts need not open the images; older
    versions ignore it. `train_resolution` is not written: it is the size of an image's bucket, not of the image.
    """

    name = "kohya-json"
    file = "meta.json"

    def __init__(self, out: str) -> None:
        super().__init__(out)
        self.folder = os.path.abspath(out)  # noqa: PTH100 - Path.absolute keeps `..`
        """The folder of the images, as the list names it."""

    def key(self, pair: Pair) -> str:
        """Return the key of an image in the list: its absolute path."""
        return f"{self.folder}/{pair.path}"

    def lines(self, pairs: Iterator[Pair]) -> Iterator[str]:
        """Yield the lines of one JSON object, an image on each."""
        last = ""
        for pair in pairs:
            yield last + ",\n" if last else "{\n"
            entry = {"caption": pair.caption, "image_size": [pair.width, pair.height]}
            last = f"{json.dumps(self.key(pair))}: {json.dumps(entry, ensure_ascii=False)}"
        yield last + "\n}\n" if last else "{}\n"

    def listed_folder(self) -> str:
        """Return the folder of the images as the list on the disk names it; "" if it names none."""
        try:
            with Path(self.out, self.file).open(encoding="utf-8") as file:
                file.readline()
                first = next(iter(json.loads("{" + file.readline().rstrip(",\n") + "}")), "")
        except (OSError, ValueError):
            return ""
        return first.rpartition("/")[0].rpartition("/")[0]


class KohyaRelativeSink(KohyaJsonSink):
    """Writes images and `meta.json` for sd-scripts, with keys that are paths below OUT: a set that can be moved.

    Give OUT as `image_dir` (`--train_data_dir`). sd-scripts finds the images from v0.10 on; v0.9.1 finds them only if
    it is started in OUT.
    """

    name = "kohya-json-relative"

    def key(self, pair: Pair) -> str:
        """Return the key of an image in the list: its path below OUT, with extension."""
        return pair.path

    def listed_folder(self) -> str:
        """Return "": a list with relative paths names no folder."""
        return ""
