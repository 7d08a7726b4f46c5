"""Running tasks in this process, or in several processes of this machine."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import threading
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

from hakubooru.errors import IncompleteError, InputError
from hakubooru.processes import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.synchronize import Event

_OBJECTS_A_SEARCH: Final = 50_000
"""How many more objects there are when cycles of references are looked for."""

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")


class Work(Protocol[T_contra, R_co]):
    """A function that does one task; can be sent to another process."""

    @property
    def decodes(self) -> bool:
        """Whether the work decodes images; then it never runs in the caller's process, which a decoder may crash."""
        ...

    def __call__(self, task: T_contra, stopped: Callable[[], bool]) -> R_co:
        """Do one task; call `stopped` from time to time, and raise `StoppedError` if it returns True."""
        ...


class StoppedError(Exception):
    """The work was stopped from outside."""


class Engine(ABC, Generic[T, R]):
    """Runs independent tasks; used in a `with` statement."""

    @abstractmethod
    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Run tasks, which are read one by one; yield the results as they are ready, in any order."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exc: object) -> None:
        """Stop the running tasks."""


class HereEngine(Engine[T, R]):
    """Runs one task after the other, in this process."""

    def __init__(self, work: Work[T, R]) -> None:
        self.work = work
        self.stop = threading.Event()

    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Run tasks and yield their results in order."""
        for task in tasks:
            yield self.work(task, stopped=self.stop.is_set)

    def __exit__(self, *exc: object) -> None:
        self.stop.set()


class ProcessEngine(Engine[T, R]):
    """Runs tasks in several processes of this machine."""

    def __init__(self, work: Work[T, R], workers: int) -> None:
        self.workers = workers
        self.stop = multiprocessing.get_context("spawn").Event()
        self.pool = Workers(workers, _begin, work, self.stop)

    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Run tasks and yield their results; each worker has one task waiting.

        Raises:
            IncompleteError: a worker died.
        """
        tasks = iter(tasks)
        running: set[Future[R]] = set()
        try:
            while True:
                room = 2 * self.workers - len(running)
                running |= {self.pool.submit(_work, task) for task in itertools.islice(tasks, room)}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise IncompleteError(
                "a worker process ended before its work was done. Perhaps it was killed because memory ran out. Run the "
                "same command again to resume"
            ) from error

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.pool.shutdown(cancel_futures=True)


def engine(work: Work[T, R], workers: int) -> Engine[T, R]:
    """Return the engine for a number of workers: this process for one that does not decode, else new processes."""
    return HereEngine(work) if workers == 1 and not work.decodes else ProcessEngine(work, workers)


def checked_workers(workers: int | None, *, decodes: bool) -> int:
    """Return the number of processes.

    Args:
        workers: the number; None means one for each core if images are decoded, and one if they are copied.
        decodes: whether images are decoded.

    Raises:
        InputError: the number is below 1.
    """
    if workers is None:
        return (os.cpu_count() or 1) if decodes else 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers is {workers!r}; it must be a whole number of at least 1")
    return workers


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for cycles of references seldom inside a `with` statement.

    An export makes few cycles. Looking for them as often as usual takes some 4% of the processor's time.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(_OBJECTS_A_SEARCH)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


_here: dict[str, Any] = {}
"""The state of a worker process, shared by its tasks."""


def _begin(work: Work[Any, Any], stop: Event) -> None:
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_SEARCH)  # as `seldom_collecting` does
    _here.update(work=work, stop=stop)


def _work(task: Any) -> Any:
    return _here["work"](task, stopped=_here["stop"].is_set)
