"""Pools of worker processes that survive the death of a worker at any moment."""

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
"""Held while the environment is changed, which is shared by all threads that start pools."""


class Workers(ProcessPoolExecutor):
    """A pool of processes that are spawned, not forked, on every system.

    Args:
        workers: how many processes to start.
        begin: a function that each process calls first.
        args: the arguments of `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., object], *args: object) -> None:
        super().__init__(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=begin, initargs=args
        )
        # By default the pool starts a process when work comes in, while its thread already watches the others. If one
        # of them dies then, the thread may forget the new process and wait for ever, or fail (Python 3.11). With this
        # setting all processes start together, before the thread does, as forked processes do.
        self._safe_to_dynamically_spawn_children = False

    def _launch_processes(self) -> None:
        # On import, NumPy's OpenBLAS starts a thread for each core, and these wait in a busy loop. The workers have no
        # work for them, and would slow each other's start.
        with _lock:
            is_set = _BLAS in os.environ
            os.environ.setdefault(_BLAS, "1")
            try:
                super()._launch_processes()  # type: ignore[misc] # a private method, missing from the stubs
            finally:
                if not is_set:
                    del os.environ[_BLAS]
