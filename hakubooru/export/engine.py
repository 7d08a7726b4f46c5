"""Running tasks: here, or on several processes of this machine."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from hakubooru.errors import IncompleteError, InputError
from hakubooru.processes import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.synchronize import Event

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")


class Work(Protocol[T_contra, R_co]):
    """What is done for each task; can be sent to another process."""

    @property
    def decodes(self) -> bool:
        """Whether it decodes images: what a decoder does to its process, it shall not do to the caller's."""
        ...

    def __call__(self, task: T_contra, stopped: Callable[[], bool]) -> R_co:
        """Do it; ask `stopped` from time to time, and raise `StoppedError` where it says so."""
        ...


class StoppedError(Exception):
    """The work was stopped from outside."""


class Engine(ABC, Generic[T, R]):
    """Runs tasks that do not touch one another; used in a `with` statement."""

    @abstractmethod
    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Run tasks, taking them one by one; results come as they are ready, in any order."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *exc: object) -> None:
        """Stop what is running."""


class HereEngine(Engine[T, R]):
    """One task after the other, in this process."""

    def __init__(self, work: Work[T, R]) -> None:
        self.work = work

    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Run them in their order."""
        for task in tasks:
            yield self.work(task, stopped=lambda: False)

    def __exit__(self, *exc: object) -> None:
        pass


class ProcessEngine(Engine[T, R]):
    """Several processes of this machine."""

    def __init__(self, work: Work[T, R], workers: int) -> None:
        self.workers = workers
        self.stop = multiprocessing.get_context("spawn").Event()
        self.pool = Workers(workers, _begin, work, self.stop)

    def run(self, tasks: Iterable[T]) -> Iterator[R]:
        """Keep each worker supplied with one task more than it works on.

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
                "a worker process ended before its work was done: it was killed, for want of memory perhaps, or a script "
                "calls this outside `if __name__ == '__main__':`; the same command takes the work up again"
            ) from error

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.pool.shutdown(cancel_futures=True)


def engine(work: Work[T, R], workers: int) -> Engine[T, R]:
    """This process for one worker that decodes nothing, and else processes of their own."""
    return HereEngine(work) if workers == 1 and not work.decodes else ProcessEngine(work, workers)


def checked_workers(workers: int | None, *, decodes: bool) -> int:
    """How many processes are meant; None is one for each core where images are decoded, and one where they are copied.

    Raises:
        InputError: there can be no such number.
    """
    if workers is None:
        return (os.cpu_count() or 1) if decodes else 1
    if workers < 1:
        raise InputError(f"{workers} workers cannot do anything; it takes at least 1")
    return workers


_here: dict[str, Any] = {}  # of a worker process: what all its tasks share


def _begin(work: Work[Any, Any], stop: Event) -> None:
    # Ctrl-C reaches every process of a terminal; the parent stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Little that a task makes refers to itself: to look for it that often took some 4% of the processor's time.
    gc.freeze()
    gc.set_threshold(50_000)
    _here.update(work=work, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed says nothing: without this its workers would go on, or wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(task: Any) -> Any:
    return _here["work"](task, stopped=_here["stop"].is_set)
