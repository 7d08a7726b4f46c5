"""Worker processes, of which any may die at any moment."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

P = ParamSpec("P")
R = TypeVar("R")


class Workers(ProcessPoolExecutor):
    """A pool of processes, each started anew: no system is asked to fork.

    The standard pool starts its processes as work comes in. Where one dies while another is being started, it forgets
    the new one: starting it fails with an error that names no death, or it waits for work, and the pool for it, for
    ever.

    Args:
        workers: how many.
        begin: called in each process first.
        args: for `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., object], *args: object) -> None:
        self._context = _RecordingContext()
        super().__init__(workers, mp_context=self._context, initializer=begin, initargs=args)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Hand work to the pool.

        Raises:
            BrokenProcessPool: a worker died.
        """
        try:
            return super().submit(fn, *args, **kwargs)
        except OSError as error:
            if error.errno is not None:
                raise
            # "handle is closed": no system call said so, but the pool that closed its pipes after a death.
            raise BrokenProcessPool("a worker died while another was being started") from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; after a death also those that the pool forgot."""
        started = self._context.started
        if any(process.exitcode for process in started):
            for process in started:
                if process.is_alive():
                    process.kill()
        super().shutdown(wait, cancel_futures=cancel_futures)


class _RecordingContext(SpawnContext):
    """Knows the processes that it made."""

    def __init__(self) -> None:
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802 - its name
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process
