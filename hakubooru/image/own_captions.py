"""Captions of a user's own images: beside each image, or in a list of its folder.

For `cat.png` these are, in this order: `cat.txt`; `cat.caption`; and a row of `metadata.jsonl`, or of a CSV, that has the
name `cat.png` and a text. The columns of a list are `file_name` (or `filename`, `file`, `image`) and `text` (or `caption`,
`prompt`).
"""

from __future__ import annotations

import csv
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BESIDE: Final = (".txt", ".caption")
"""The suffixes of captions beside images, the first of them first."""
_NAMES: Final = ("file_name", "filename", "file", "image")
_TEXTS: Final = ("text", "caption", "prompt")


class OwnCaptions:
    """The captions of the images in a folder; lists are read when an image has no caption beside it."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def of(self, name: str) -> str | None:
        """The caption of an image, by the image's name; None if it has none.

        Raises:
            ValueError: the caption, or a list, is not UTF-8 or cannot be read; the message says which file.
        """
        for suffix in BESIDE:
            path = (self.folder / name).with_suffix(suffix)
            if path.is_file():  # a folder can have that name, or a pipe, which would never end
                try:
                    return read_text(path)
                except UnicodeDecodeError as error:
                    raise ValueError("its caption is not UTF-8") from error
        return self._listed.get(name)

    @cached_property
    def _listed(self) -> dict[str, str]:
        captions: dict[str, str] = {}
        lists = sorted(path for path in self.folder.glob("*.csv") if path.is_file())
        metadata = self.folder / "metadata.jsonl"
        for path in ([metadata] if metadata.is_file() else []) + lists:
            try:
                rows = (
                    _json_rows(path)
                    if path == metadata
                    else csv.DictReader(read_text(path).splitlines(keepends=True))
                )
                for name, text in _pairs(rows):
                    captions.setdefault(name, text)
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{path.name} cannot be read: {error}") from error
        return captions


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Iterate over the objects of a file with one JSON object a line.

    Raises:
        ValueError: a line is not an object; the message says which.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            yield row


def _pairs(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for row in rows:
        name = next((row[key] for key in _NAMES if isinstance(row.get(key), str)), None)
        text = next((row[key] for key in _TEXTS if isinstance(row.get(key), str)), None)
        if name is not None and text is not None:
            yield name.removeprefix("./"), text
