"""Folders in kohya's layout, `10_name`: their names say how often an epoch has their images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DataSetError
from hakubooru.export.manifest import MANIFEST
from hakubooru_trainer.config.data import ENDING
from hakubooru_trainer.data.look import IMAGES, METADATA, SHARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru_trainer.config.data import DataOptions

_NAME: Final = re.compile(r"([0-9]+)_.+")


def data_sets(data: DataOptions) -> list[DataOptions]:
    """The data sets of a path, each with its repeats: one, or one for each folder if all folders are called `10_name`.

    Repeats in the configuration win over folder names. A folder called `0_name` is left out, as sd-scripts does it. An
    export is always one data set.

    Raises:
        DataSetError: all folders are called `0_name`.
    """
    root = Path(data.path)
    if data.repeats or not root.is_dir() or (root / MANIFEST).is_file():
        return [replace(data, repeats=data.repeats or 1)]
    if repeats := _repeats(root.absolute().name):
        return [replace(data, repeats=repeats)]
    files, folders = _entries(root)
    if folders and all(map(_NAME.fullmatch, folders)) and not any(map(_is_data, files)):
        if not any(map(_repeats, folders)):
            raise DataSetError(
                f"{root}: the names of all folders begin with 0, for no repeats; rename one, such as 1_name"
            )
        return [
            replace(
                data,
                path=f"{data.path}/{name}",
                repeats=_repeats(name),
                masks=data.masks
                if data.masks.startswith(ENDING) or not data.masks
                else f"{data.masks}/{name}",
            )
            for name in folders
            if _repeats(name)
        ]
    return [replace(data, repeats=1)]


def without_repeats(data: DataOptions) -> list[str]:
    """The folders called `0_name` that are left out."""
    root = Path(data.path)
    used = {one.path for one in data_sets(data)} if root.is_dir() else {data.path}
    if data.path in used:  # it is one data set
        return []
    return [name for name in _entries(root)[1] if f"{data.path}/{name}" not in used]


def unread_repeats(data: DataOptions) -> list[str]:
    """The folders called `10_name` whose number has no effect, since the rest of the path is laid out otherwise."""
    root = Path(data.path)
    if data.repeats or not root.is_dir() or data_sets(data) != [replace(data, repeats=1)]:
        return []
    return [name for name in (root.absolute().name, *_entries(root)[1]) if _repeats(name) > 1]


def _entries(root: Path) -> tuple[Sequence[str], Sequence[str]]:
    entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    folders = [path.name for path in entries if path.is_dir()]
    return [path.name for path in entries if path.name not in folders], folders


def _repeats(name: str) -> int:
    """The repeats that a folder's name begins with; 0 if there are none."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _is_data(name: str) -> bool:
    return name == METADATA or name.endswith(SHARD) or Path(name).suffix.lower() in IMAGES
