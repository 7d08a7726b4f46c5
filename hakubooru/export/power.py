"""Power cuts: what was written reaches the disk some seconds later, and what was not there yet is looked at again.

To wait for the disk with every file takes many times as long as to write it. So the journal knows in which run of the
machine each archive was exported, and from time to time everything so far is brought to the disk while the export
goes on. Taken up after the machine was started anew, an export reads the files of all archives that are not
known to have reached the disk, compares them with their hashes, and exports again what is not whole.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from hakubooru.export.journal import Journal

SECONDS: Final = 60.0
"""From one time that everything is brought to the disk to the next."""


class Disk:
    """Brings what an export wrote to the disk, in the background; used in a `with` statement."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._written: list[str] = []
        self._underway: tuple[Future[None], list[str]] | None = None
        self._last = time.monotonic()
        self._thread = ThreadPoolExecutor(1)

    def wrote(self, key: str) -> None:
        """The work of an archive is on record."""
        self._written.append(key)
        if self._underway is not None and self._underway[0].done():
            self.journal.trust(self._underway[1])
            self._underway = None
        is_time = time.monotonic() - self._last > SECONDS
        if is_time and self._underway is None and hasattr(os, "sync"):
            self._underway = self._thread.submit(os.sync), self._written
            self._written = []
            self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # What is under way need not be waited for: it is only not known to have reached the disk.
        self._thread.shutdown(wait=False)
