"""The names of data sets, which become the names of recipes' files and of exports' folders."""

from __future__ import annotations

import re
from typing import Final

from hakubooru.errors import InputError
from hakubooru.files import is_file_name

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""The signs of names."""


def is_name(name: str) -> bool:
    """Return whether a data set can have a name."""
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
