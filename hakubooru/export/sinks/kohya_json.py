"""The sink `kohya-json`: images and `meta.json` with absolute paths."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.export.sinks.folder import FolderSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.export.pairs import Pair


class KohyaJsonSink(FolderSink):
    """Writes what sd-scripts' fine-tuning reads: images, and `meta.json`, which you give as `metadata_file`.

    On the command line of sd-scripts, `metadata_file` is `--in_json`. An image's key is its absolute path with its
    extension. Both v0.9.1 and v0.10 find images by this form: v0.9.1 checks whether the key is a path that exists,
    v0.10 whether it is absolute. `image_size` is width and height, so that sd-scripts need not open the images; older
    versions ignore it. `train_resolution` is not written: it is the size of an image's bucket, not of the image.
    """

    name = "kohya-json"
    summary = "images and a list for sd-scripts, with absolute paths"
    writes_captions = False
    list_name = "meta.json"

    def __init__(self, out: str, **options: int) -> None:
        super().__init__(out, **options)
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

    def wrong_list(self, pairs: Iterator[Pair]) -> str:
        """Return what is wrong with the list on the disk; a list that names this folder in another way is right."""
        if folder := self._listed_folder():
            if not _is_same(folder, self.out):
                return (
                    f"list names images in {folder}; if the export was moved, --repair writes the list again"
                )
            self.folder = folder
        return super().wrong_list(pairs)

    def _listed_folder(self) -> str:
        """Return the folder of the images as the list on the disk names it; "" if it names none."""
        try:
            with Path(self.out, self.list_name).open(encoding="utf-8") as file:
                file.readline()
                first = next(iter(json.loads("{" + file.readline().rstrip(",\n") + "}")), "")
        except (OSError, ValueError):
            return ""
        return first.rpartition("/")[0].rpartition("/")[0]


def _is_same(folder: str, out: str) -> bool:
    try:
        return os.path.samefile(folder, out)  # noqa: PTH121 - both are strings
    except OSError:
        return False
