"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside the one that is meant; what was written there takes its place when the block ends well.

    It is on the disk, not only on its way there, before it takes the place, and may be read by whom the system says
    (safetensors writes files that nobody else can read).
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.touch()
        mode = beside.stat().st_mode
        yield beside
        beside.chmod(mode)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105 - Path.replace, said as what it is
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
