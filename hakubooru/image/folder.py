"""Reading a folder of image files as if it were an archive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hakubooru.image.tar import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def read_folder(path: str, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """List a folder once and read the wanted files, one at a time, in the order of their names.

    Folders in it are skipped. Links to files are followed.

    Args:
        path: the folder.
        wanted: is called with every file; True reads it.

    Yields:
        the wanted files with their contents.

    Raises:
        OSError: the folder, or a file in it, cannot be read.
    """
    chosen: list[Member] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file():
                member = Member(entry.name, entry.stat().st_size, 0)
            elif entry.is_dir():
                continue
            else:
                member = Member(entry.name, 0, 0, "a link that leads nowhere, or a device")
            if wanted(member):
                chosen.append(member)
    chosen.sort(key=lambda member: member.name)
    for member in chosen:
        with open(f"{path}/{member.name}", "rb", buffering=0) as file:  # noqa: PTH123 - Path costs more than the call
            yield member, file.readall()
