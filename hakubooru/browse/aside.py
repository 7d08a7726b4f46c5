"""A copy of the data set in the making, in the user's own folder for such things, so that nothing is lost when the browser ends."""

from __future__ import annotations

import hashlib
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import platformdirs

from hakubooru.browse.toml_text import toml_text
from hakubooru.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Aside:
    """The copy for one database and one work folder."""

    def __init__(self, database: Path, work: Path) -> None:
        name = hash_of(f"{database.resolve()}\n{work}")
        self._path = platformdirs.user_state_path("hakubooru") / "browse" / f"{name}.toml"

    def read(self) -> dict[str, Any]:
        """Read the copy: the recipe's table, with its `name`, and in `file` the hash of its file.

        Raises:
            OSError: there is no copy.
            ValueError: it is damaged.
        """
        return tomllib.loads(self._path.read_text(encoding="utf-8"))

    def write(self, table: Mapping[str, Any]) -> None:
        """Write the copy; if it cannot be written, it is missing the next time, and nothing else."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, toml_text(table))


def hash_of(text: str) -> str:
    """A short hash of a text, which may hold half characters, as the names of files do."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]
