"""A pool of processes, one of which may die while another is being started."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ProcessPoolExecutor

P = ParamSpec("P")
R = TypeVar("R")


def submit(pool: ProcessPoolExecutor, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Hand work to a pool.

    Raises:
        BrokenProcessPool: a worker died, before or while this was handed over.
    """
    try:
        return pool.submit(work, *args, **kwargs)
    except OSError as error:
        # The pool starts its processes as work comes in, and a death closes its pipes: starting one then finds
        # "handle is closed", an error that no system call made and that has no number.
        if error.errno is not None:
            raise
        raise BrokenProcessPool("a worker died while another was being started") from error
