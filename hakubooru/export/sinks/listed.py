"""Images in subfolders, with one file that has all captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.export.sinks.folder import FolderSink
from hakubooru.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.records import Pair


class ImageFolderSink(FolderSink):
    """What `datasets.load_dataset("imagefolder", data_dir=OUT)` reads: images, and `metadata.jsonl` beside them."""

    name = "imagefolder"
    writes_captions = False

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write a line for each image: `file_name`, `text`, `id`, `width` and `height`."""
        path = Path(self.out, "metadata.jsonl")
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            for pair in pairs:
                line = {
                    "file_name": pair.path,
                    "text": pair.caption,
                    "id": pair.id if pair.id >= 0 else None,
                    "width": pair.width,
                    "height": pair.height,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


class KohyaJsonSink(FolderSink):
    """What sd-scripts' fine-tuning reads: images, and `meta.json` to be given as `metadata_file`.

    `OUT` is to be given as `image_dir`: an image's key is its path below that, without its extension, and `image_size`
    its width and height, so that no image is opened to learn them. Versions that do not know `image_size` pass over
    it. `train_resolution` is none of it: that is the size of an image's bucket, not of the image.
    """

    name = "kohya-json"
    writes_captions = False

    def finish(self, pairs: Iterator[Pair]) -> None:
        """Write one JSON object, an image a line."""
        path = Path(self.out, "meta.json")
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
            between = "{\n"
            for pair in pairs:
                entry = {"caption": pair.caption, "image_size": [pair.width, pair.height]}
                key = pair.path.rpartition(".")[0]
                file.write(f"{between}{json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}")
                between = ",\n"
            file.write("\n}\n" if between == ",\n" else "{}\n")
