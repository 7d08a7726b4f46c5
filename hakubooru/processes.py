"""Worker processes: pools that survive the death of a worker at any moment, work ahead of its reader, and a generator beside it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

_BLAS: Final = "OPENBLAS_NUM_THREADS"
_lock: Final = threading.Lock()
"""Held while the environment and the main module are changed, which all threads share that start pools."""


class Workers(ProcessPoolExecutor):
    """A pool of processes that are spawned, not forked, on every system.

    They end when this process ends, however it does. Ctrl-C reaches every process of a terminal, and they ignore it: only
    this process reacts to it, and stops them.

    The processes do not run the caller's script again, so that it needs no `if __name__ == "__main__":`. What they are
    given to do comes from modules that can be imported.

    Args:
        workers: how many processes to start.
        begin: a function that each process calls first.
        args: the arguments of `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., object], *args: object) -> None:
        super().__init__(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=partial(_begin, begin, *args),
        )
        # By default the pool starts a process when work comes in, while its thread already watches the others. If one
        # of them dies then, the thread may forget the new process and wait for ever, or fail (Python 3.11). With this
        # setting all processes start together, before the thread does, as forked processes do.
        self._safe_to_dynamically_spawn_children = False

    def _launch_processes(self) -> None:
        with _lock, _one_blas_thread(), _main_unnamed():
            super()._launch_processes()  # type: ignore[misc] # a private method, missing from the stubs

    def end(self) -> None:
        """End the processes at once, also those that still start or work; `shutdown` would wait for them."""
        for process in list((self._processes or {}).values()):
            process.terminate()
        self.shutdown(cancel_futures=True)


def ahead(pool: Executor, function: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """Iterate over what a function gives for each item, in order, while a pool computes up to `count` of them ahead.

    The pool is shut down in the end. What it has not begun by then is left out.
    """
    rest = iter(items)
    with pool:
        try:
            waiting = deque(pool.submit(function, item) for item in islice(rest, count))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[..., object], *args: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*args)


def _end_with_parent() -> None:
    """End this process when its parent ends: a killed parent cannot stop its workers, and they would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class LostProcessError(Exception):
    """A process was killed from outside."""


@contextmanager
def generated(function: Callable[..., Iterable[Any]], *args: Any, **options: Any) -> Iterator[Iterator[Any]]:
    """Run a generator function in a process of its own for a `with` statement, and iterate over what it yields.

    The process works one item ahead. It ends with the `with` statement, or when the caller's process dies. What goes
    between the two must be picklable.

    Raises:
        LostProcessError: the process was killed.
        Exception: the generator raised it.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, args, options), daemon=True)
    with _lock, _one_blas_thread(), _main_unnamed():
        process.start()
    sender.close()
    try:
        yield _received(receiver)
    finally:
        receiver.close()
        process.terminate()
        process.join()
        process.close()


def _received(receiver: Connection) -> Iterator[Any]:
    while True:
        try:
            items, error = receiver.recv()
        except (EOFError, ConnectionError) as lost:
            raise LostProcessError("a process was killed") from lost
        yield from items
        if error is not None:
            raise error
        if not items:
            return


def _send(
    sender: Connection, function: Callable[..., Iterable[Any]], args: Iterable[Any], options: dict[str, Any]
) -> None:
    # Ctrl-C reaches every process of a terminal; only the caller reacts to it, and ends this one so that it cleans up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(BrokenPipeError):  # the caller needs no more, or is dead
        try:
            for item in function(*args, **options):
                sender.send(([item], None))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - the caller raises it
            sender.send(([], error))
        else:
            sender.send(([], None))
    # It ends by itself now; Python would print an exit in the midst of that as an error.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


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
