"""Several processes that train as one: what each of them does, and what all of them agree on.

torchrun starts a process, a *rank*, for each GPU. All hold the same weights and move them alike; what they divide are the
batches of each update. Everything random follows from a batch's number alone, so that any number of ranks trains the
same images with the same noise, and differs by the rounding of one sum.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import time
import uuid
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from hakubooru import errors
from hakubooru.errors import ConfigError, InputError, LostRankError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    from hakubooru_trainer.config.options import RunOptions

T = TypeVar("T")

_FOREVER: Final = timedelta(days=365)
_PORTION: Final = 1 << 25
"""Numbers that are sent at a time: 128 MiB in fp32, beside the gradients themselves."""
_GRACE: Final = 10.0
"""Seconds that a rank waits for the launcher to end it, once another rank is gone."""
_UPDATE_ENDS: Final = 600
"""Seconds that ranks have to end an update and save, once the launcher is told to stop."""
_INTERRUPTED: Final = 130
_runs: Final = itertools.count()
"""Of this process, one after another: all ranks count them alike."""


class Ranks:
    """The ranks of a run as one of them sees them, for use in a `with` statement; a process by itself is one of one.

    Each method is called by all ranks, in the same order, and is at once done where there is only one.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank = rank()
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = device
        self._patient: Any = None
        self._parent = os.getppid()

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone, and with it whoever could start the run again: it is time to save and leave."""
        return launched() and os.getppid() != self._parent

    def mine(self, numbers: range) -> range:
        """Which batches of the run are this rank's: those whose number leaves `rank` when divided by `world`."""
        return numbers[(self.rank - numbers.start) % self.world :: self.world]

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's part of what is to be done."""
        return items[self.rank :: self.world]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put in the place of each tensor its sum over all ranks: the same bits on all of them.

        They are laid end to end and sent in their order, in portions of one size, so that a sum is rounded alike
        whenever it is taken again. What is not finite on one rank is so on all.
        """
        if self.world == 1:
            return
        for some in _portions(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in some])
            self._reduce(flat, dist.ReduceOp.SUM)
            for tensor, part in zip(some, flat.split([tensor.numel() for tensor in some]), strict=True):
                tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def sum_gradients(self, weights: Sequence[Tensor]) -> None:
        """Sum the gradients over all ranks; a weight to which no rank has one is left without."""
        if self.world == 1:
            return
        known = self.any(*(weight.grad is not None for weight in weights))
        for weight in (weight for weight, some in zip(weights, known, strict=True) if some):
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.sum([weight.grad for weight in weights if weight.grad is not None])

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each is true on some rank; waits for the slowest, however long that takes."""
        if self.world == 1:
            return flags
        found = torch.tensor(flags, dtype=torch.uint8)
        self._reduce(found, dist.ReduceOp.MAX, self._patient)
        return tuple(map(bool, found.tolist()))

    def wait(self) -> None:
        """Go on when all ranks are here, however long that takes."""
        self.any(self.first)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first rank goes through the block, and then the others, who find what it left."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def __enter__(self) -> Self:
        """Meet the others.

        Gradients go by the device's own way, with torch's time-out: it is what tells of a machine that is lost. All that
        may take long is waited for by another, on CPUs and without one.
        """
        if self.world > 1:
            with self._reaching():
                store, _, _ = next(rendezvous("env://"))
                dist.init_process_group(
                    "nccl" if self.device.type == "cuda" else "gloo",
                    # The store outlives a rank: what an earlier start left in it, the address of a lost rank, is not read.
                    store=PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT')} {next(_runs)}", store),
                    rank=self.rank,
                    world_size=self.world,
                )
                self._patient = dist.new_group(backend="gloo", timeout=_FOREVER)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Part; in an error the process ends, and what it holds of the others with it."""
        if self.world > 1 and error is None:
            dist.destroy_process_group()

    def _reduce(self, tensor: Tensor, how: Any, group: Any = None) -> None:
        with self._reaching():
            dist.all_reduce(tensor, how, group)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch's own of the network are among them
            raise LostRankError(f"rank {self.rank} cannot reach the others ({error})") from error


def rank() -> int:
    """Which of the run's ranks this process is."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of this machine's ranks it is, and so which of its GPUs it has."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def launched() -> bool:
    """Whether a launcher started this process as a rank; it is then the launcher that tells of errors, once for all."""
    return "TORCHELASTIC_ERROR_FILE" in os.environ


def restarted() -> bool:
    """Whether the launcher started the ranks before, and one of them was lost."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


@contextmanager
def telling() -> Iterator[None]:
    """Leave word of an error for the launcher, which tells it and ends the other ranks."""
    try:
        yield
    except Exception as error:
        if launched():
            from torch.distributed.elastic.multiprocessing.errors import get_error_handler  # noqa: PLC0415 - with it

            if isinstance(error, LostRankError):
                time.sleep(_GRACE)  # the launcher is to see the rank that was lost before it sees this one go
            get_error_handler().record_exception(error)
        raise


def launch(command: Sequence[str], ranks: int, options: RunOptions) -> None:
    """Start a command as the ranks of this machine, as `torchrun --standalone` does, and wait for their end.

    Raises:
        InputError: a rank ended with it; the message says which.
        TrainingError: a rank failed, or was killed; the message says which.
        KeyboardInterrupt: it was told to stop, and the state is saved.
    """
    if options.device != "cpu" and torch.cuda.device_count() < ranks:
        raise ConfigError(
            f"--gpus {ranks}: torch sees {torch.cuda.device_count()} GPUs here; ask for no more, or set "
            'run.device = "cpu" to have so many processes share the processor'
        )
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415 - the launcher's alone
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed.elastic"):  # it is told below, in a sentence
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun does: the ranks share the processor's cores
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_UPDATE_ENDS))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any port that is free
        local_addr="localhost",
        max_restarts=0,
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        elastic_launch(config, command[0])(*command[1:])
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        rank, failure = min(
            error.failures.items(), key=lambda failed: (_lost(failed[1]), failed[1].timestamp)
        )
        if failure.exitcode == _INTERRUPTED:
            raise KeyboardInterrupt from error
        kind = InputError if failure.exitcode == InputError.exit_code else TrainingError
        raise kind(f"rank {rank} ended the run: {_reason(failure)}") from error
    finally:
        for number, handler in handlers.items():  # torch leaves its own
            signal.signal(number, handler)


def _portions(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours that together hold no more numbers than are sent at a time."""
    portion: list[Tensor] = []
    for tensor in tensors:
        if portion and sum(one.numel() for one in portion) + tensor.numel() > _PORTION:
            yield portion
            portion = []
        portion.append(tensor)
    if portion:
        yield portion


def _lost(failure: ProcessFailure) -> bool:
    """Whether a rank only found that another was gone."""
    return _told(failure)[0] == LostRankError.__name__


def _reason(failure: ProcessFailure) -> str:
    """What a rank left word of, or how it was ended."""
    if failure.exitcode < 0:
        memory = ", as the system does when memory runs out" if failure.exitcode == -signal.SIGKILL else ""
        return f"it was killed by {failure.signal_name()}{memory}"
    kind, text = _told(failure)
    if not kind:
        return f"it left with exit code {failure.exitcode}"
    return text if hasattr(errors, kind) else f"{kind}: {text}"


def _told(failure: ProcessFailure) -> tuple[str, str]:
    """The kind and the text of the error that a rank left word of; empty where it did not."""
    told = failure.error_file_data["message"]
    if isinstance(told, str):
        return "", ""
    kind, _, text = str(told["message"]).partition(": ")
    return kind, text
