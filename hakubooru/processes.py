"""Pools of worker processes that survive the death of a worker at any moment."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLAS: Final = "OPENBLAS_NUM_THREADS"
_lock: Final = threading.Lock()
"""Held while the environment and the main module are changed, which all threads share that start pools."""


class Workers(ProcessPoolExecutor):
    """A pool of processes that are spawned, not forked, on every system.

    The processes do not run the caller's script again, so that it needs no `if __name__ == "__main__":`. What they are
    given to do comes from modules that can be imported.

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
        with _lock, _one_blas_thread(), _main_unnamed():
            super()._launch_processes()  # type: ignore[misc] # a private method, missing from the stubs


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Ask OpenBLAS for one thread in the processes that are started here.

    On import it starts a thread for each core, and these wait in a busy loop. The workers have no work for them, and
    would slow each other's start.
    """
    is_set = _BLAS in os.environ
    os.environ.setdefault(_BLAS, "1")
    try:
        yield
    finally:
        if not is_set:
            del os.environ[_BLAS]


@contextmanager
def _main_unnamed() -> Iterator[None]:
    """Hide where the main module comes from: a spawned process imports it again if it can."""
    main = sys.modules["__main__"]
    names = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    for name in names:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in names.items():
            setattr(main, name, value)
