"""Surviving a power cut: flush an export to the disk in the background, and check what was not flushed in time.

A written file reaches the disk some seconds later. Waiting for the disk after every file would take many times as long
as writing it. So the journal records in which run of the machine each archive was exported. From time to time
everything written so far is flushed while the export goes on.

An export that resumes after a restart of the machine reads the files of every archive that may not have been flushed.
It compares them with their hashes and exports again what is not whole.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from hakubooru.export.journal import Journal

SECONDS: Final = 60.0
"""Seconds between two flushes."""


class Disk:
    """Flushes what an export wrote to the disk, in the background; used in a `with` statement."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._written: list[str] = []
        self._underway: tuple[Future[None], list[str]] | None = None
        self._last = time.monotonic()
        self._thread = ThreadPoolExecutor(1)

    def wrote(self, key: str) -> None:
        """Note that an archive was exported and recorded; start a flush if one is due."""
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
        # No need to wait for a running flush: the next run checks the files that it was to flush.
        self._thread.shutdown(wait=False)
