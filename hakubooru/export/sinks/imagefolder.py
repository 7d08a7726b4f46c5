"""The sink `imagefolder`: images and `metadata.jsonl`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hakubooru.export.sinks.folder import FolderSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.pairs import Pair


class ImageFolderSink(FolderSink):
    """Writes what `datasets.load_dataset("imagefolder", data_dir=OUT)` reads: images and `metadata.jsonl`.

    The list has a line for each image: `file_name`, `text`, `id`, `width` and `height`.
    """

    name = "imagefolder"
    summary = "images and a list of captions for `datasets`"
    writes_captions = False
    list_name = "metadata.jsonl"

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
