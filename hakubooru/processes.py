"""Worker processes, of which any may die at any moment."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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
