"""Reading a user's own images for an export, with the captions that lie beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.export.reading import Images
from hakubooru.export.records import Broken
from hakubooru.files import read_text
from hakubooru.image.header import LARGEST_BYTES
from hakubooru.image.own import images_in, own_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.export.records import Task
    from hakubooru.image.convert import ImageFormat
    from hakubooru.image.own import OwnFolder


class OwnImages(Images):
    """Iterates the wanted images of a folder, and reads their captions from the files beside them."""

    def __init__(self, task: Task, folder: OwnFolder, shape: ImageFormat) -> None:
        super().__init__(task, shape)
        self.folder = folder
        self._names: dict[int, str] = {}
        self._captions: dict[int, str] = {}

    def place(self, number: int, extension: str) -> str:
        """Return the path of an image of this folder in an export."""
        return own_place(number, self._names.pop(number), extension)

    def captioned(self, ids: Ids) -> Iterator[tuple[int, str, dict[str, int]]]:
        """Yield numbers and captions of images that were yielded before; the parts are empty, as they are unknown."""
        for number in ids.tolist():
            yield number, self._captions.pop(number), {}

    def _members(self) -> Iterator[tuple[int, str, bytes]]:
        wanted = set(self.task.wanted.tolist())
        for name in images_in(self.folder.path):
            number = self.folder.number(name)
            if number not in wanted:
                continue
            path = Path(self.folder.path, name)
            caption = path.with_suffix(".txt")
            if not caption.is_file():  # a folder can have that name, or a pipe, which would never end
                self._refuse(number, name, "no caption of the same name in .txt beside it")
                continue
            try:
                self._captions[number] = _one_line(read_text(caption))
            except UnicodeDecodeError:
                self._refuse(number, name, "its caption is not UTF-8")
            else:
                if path.stat().st_size > LARGEST_BYTES:
                    self._refuse(number, name, f"larger than {LARGEST_BYTES // 2**20} MiB")
                    continue
                self._names[number] = name
                yield number, name, path.read_bytes()

    def _refuse(self, number: int, name: str, reason: str) -> None:
        self.outcome.broken.append(Broken(number, name, reason))


def _one_line(text: str) -> str:
    """Return a caption on one line, as trainers read it: line ends become commas."""
    return re.sub(r"[\s,]*[\r\n][\s,]*", ", ", text.strip())
