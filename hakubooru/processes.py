"""Worker processes, of which any may die at any moment."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BLAS: Final = "OPENBLAS_NUM_THREADS"
_lock: Final = threading.Lock()
"""While the environment is another: threads that start pools of their own share it."""


class Workers(ProcessPoolExecutor):
    """A pool of processes, each started anew: no system is asked to fork.

    Args:
        workers: how many.
        begin: called in each process first.
        args: for `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., object], *args: object) -> None:
        super().__init__(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=begin, initargs=args
        )
        # The pool would start its processes as work comes in, while a thread of its own watches over them. Where one
        # dies meanwhile, that thread forgets the new one and waits for it for ever, or fails (Python 3.11). Started
        # together, as those that are forked are, they are all there before the thread begins.
        self._safe_to_dynamically_spawn_children = False

    def _launch_processes(self) -> None:
        # NumPy's OpenBLAS starts a thread for each core as it is imported, which waits in a busy loop for work that none
        # of these processes has: they would keep each other from beginning.
        with _lock:
            told = _BLAS in os.environ
            os.environ.setdefault(_BLAS, "1")
            try:
                super()._launch_processes()  # type: ignore[misc] # an inner part, like the last
            finally:
                if not told:
                    del os.environ[_BLAS]
