"""Images in subfolders, with one file that has all captions."""

from __future__ import annotations

import json
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
        path = Path(self.out, self.file)
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(self.lines(pairs))

    @staticmethod
    @abstractmethod
    def lines(pairs: Iterator[Pair]) -> Iterator[str]:
        """The lines of the list, each with its end."""


class ImageFolderSink(ListedSink):
    """What `datasets.load_dataset("imagefolder", data_dir=OUT)` reads: images, and `metadata.jsonl` beside them.

    A line for each image: `file_name`, `text`, `id`, `width` and `height`.
    """

    name = "imagefolder"
    file = "metadata.jsonl"

    @staticmethod
    def lines(pairs: Iterator[Pair]) -> Iterator[str]:
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
    """What sd-scripts' fine-tuning reads: images, and `meta.json` to be given as `metadata_file`.

    `OUT` is to be given as `image_dir`: an image's key is its path below that, without its extension, and `image_size`
    its width and height, so that no image is opened to learn them. Versions that do not know `image_size` pass over
    it. `train_resolution` is none of it: that is the size of an image's bucket, not of the image.
    """

    name = "kohya-json"
    file = "meta.json"

    @staticmethod
    def lines(pairs: Iterator[Pair]) -> Iterator[str]:
        """One JSON object, an image a line."""
        last = ""
        for pair in pairs:
            yield last + ",\n" if last else "{\n"
            entry = {"caption": pair.caption, "image_size": [pair.width, pair.height]}
            key = pair.path.rpartition(".")[0]
            last = f"{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}"
        yield last + "\n}\n" if last else "{}\n"
