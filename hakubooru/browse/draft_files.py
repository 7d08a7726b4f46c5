"""The files of data sets: how they may be called, tables as TOML, and a copy of the one in the making.

The copy is in the user's own folder for such things, so that nothing is lost when the browser ends.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from contextlib import suppress
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final

import platformdirs

from hakubooru.errors import InputError
from hakubooru.files import is_file_name, write_text
from hakubooru.settings import toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""The form of the name of a data set, which becomes that of a file and of a folder."""


def is_name(name: str) -> bool:
    """Whether a data set can have a name."""
    return NAME.fullmatch(name) is not None and is_file_name(name)


def checked_name(name: str) -> str:
    """Check the name of a data set.

    Raises:
        InputError: the name has other characters than letters, digits, - and _, is too long, or is a device's on Windows.
    """
    if not is_name(name):
        raise InputError(
            f"the name {name!r} cannot be used: write 1 to 80 letters, digits, - and _, such as five-characters, and no name "
            "of a device on Windows, such as aux or con"
        )
    return name


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


def write_beside(work: Path, name: str, text: str) -> Path:
    """Write an unsaved data set into the work folder as a recipe with a new name, `NAME-unsaved`; return its path."""
    stem = f"{name[:60]}-unsaved"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    path = next(path for path in (work / f"{some}.toml" for some in names) if not path.exists())
    write_text(path, text)
    return path


def hash_of(text: str) -> str:
    """A short hash of a text, which may hold half characters, as the names of files do."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def toml_text(table: Mapping[str, Any]) -> str:
    """Write a table of texts, numbers, flags, lists and tables as TOML (version 1.0), from which `tomllib` reads it."""
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, dict) or _is_tables(value)}
    for key, value in table.items():
        if key not in tables:
            yield f"{_key(key)} = {toml(value)}"
    for key, value in tables.items():
        inner = (*path, key)
        name = ".".join(map(_key, inner))
        for each in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            yield from _lines(each, inner)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else toml(key)
