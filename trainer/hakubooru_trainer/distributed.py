"""Several processes that train as one: what each of them computes, and what they exchange.

torchrun starts a process, a *rank*, for each GPU. All have the same weights and move them alike; they divide the batches of
each update. Everything random follows from a batch's number alone, so that any number of ranks trains the same images with
the same noise, and differs only by the rounding of one sum.
"""

from __future__ import annotations

import hashlib
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
from hakubooru.quantity import quantity
from hakubooru_trainer.stopping import signals

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
"""Seconds that a rank waits for the launcher to end it, after another rank was lost."""
_UPDATE_ENDS: Final = 600
"""Seconds that ranks have to end an update and save, after the launcher was told to stop."""
_INTERRUPTED: Final = 130
_runs: Final = itertools.count()
"""A counter of this process's runs; all ranks count alike."""


class Ranks:
    """The ranks of a run as one of them sees them, for use in a `with` statement. A process alone is one rank of one.

    All ranks call each method, in one order. With one rank, each method returns at once.

    Args:
        device: the device that this rank computes on.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank = rank()
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = device
        self._patient: Any = None
        self._parent = os.getppid()

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone, so that nobody can restart a lost rank: it is time to save and stop."""
        return launched() and os.getppid() != self._parent

    def mine(self, numbers: range) -> range:
        """The numbers of the batches that this rank computes: those that leave `rank` when divided by `world`."""
        return numbers[(self.rank - numbers.start) % self.world :: self.world]

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's part of the items."""
        return items[self.rank :: self.world]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks; all ranks get the same bits.

        The tensors are laid end to end and sent in their order, in portions of one size, so that a sum is rounded in one way
        whenever it is computed. A number that is not finite on one rank is not finite on all.
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
        """Sum the gradients over all ranks. A weight without a gradient on any rank stays without."""
        if self.world == 1:
            return
        has_gradient = self.any(*(weight.grad is not None for weight in weights))
        for weight in (weight for weight, some in zip(weights, has_gradient, strict=True) if some):
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.sum([weight.grad for weight in weights if weight.grad is not None])

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is true on some rank; waits for the slowest rank, however long that takes."""
        if self.world == 1:
            return flags
        result = torch.tensor(flags, dtype=torch.uint8)
        self._reduce(result, dist.ReduceOp.MAX, self._patient)
        return tuple(map(bool, result.tolist()))

    def same(self, *texts: str) -> tuple[bool, ...]:
        """Whether each text is the same on all ranks, by eight bytes of its SHA-256; all ranks give as many texts."""
        if self.world == 1:
            return (True,) * len(texts)
        hashes = torch.tensor(
            [[*hashlib.sha256(text.encode()).digest()[:8]] for text in texts], dtype=torch.uint8
        )
        ends = torch.stack([hashes, 255 - hashes])
        self._reduce(ends, dist.ReduceOp.MAX, self._patient)
        return tuple((ends[0] == 255 - ends[1]).all(1).tolist())  # the largest byte is the smallest, too

    def wait(self) -> None:
        """Wait until all ranks are here, however long that takes."""
        self.any(self.first)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run the block on the first rank, and then on the others, which can use what the first one wrote."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def __enter__(self) -> Self:
        """Connect to the other ranks.

        Gradients are exchanged by the device's own backend, with torch's time-out, which detects a lost machine. Everything that
        may take long is waited for by a second group, on CPUs and without time-out.
        """
        if self.world > 1:
            with self._reaching():
                store, _, _ = next(rendezvous("env://"))
                dist.init_process_group(
                    "nccl" if self.device.type == "cuda" else "gloo",
                    # The store outlives a rank. The prefix keeps this start from reading an earlier one's entries, such as a lost rank's address.
                    store=PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT')} {next(_runs)}", store),
                    rank=self.rank,
                    world_size=self.world,
                )
                self._patient = dist.new_group(backend="gloo", timeout=_FOREVER)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Leave the group. After an error the process ends anyway, and that frees what it shares with the others."""
        if self.world > 1 and error is None:
            dist.destroy_process_group()

    def _reduce(self, tensor: Tensor, operation: Any, group: Any = None) -> None:
        with self._reaching():
            dist.all_reduce(tensor, operation, group)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch's network errors are among them
            raise LostRankError(
                f"rank {self.rank} cannot reach the other ranks ({error}); run the same command again"
            ) from error


def rank() -> int:
    """The number of this process among the run's ranks."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The number of this process among this machine's ranks, which is also the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def launched() -> bool:
    """Whether a launcher started this process as a rank; if so, the launcher reports errors, once for all ranks."""
    return "TORCHELASTIC_ERROR_FILE" in os.environ


def restarted() -> bool:
    """Whether the launcher restarted the ranks after one of them was lost."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


@contextmanager
def telling() -> Iterator[None]:
    """Record an error of the block for the launcher, which reports it and ends the other ranks."""
    try:
        yield
    except Exception as error:
        if launched():
            from torch.distributed.elastic.multiprocessing.errors import get_error_handler  # noqa: PLC0415 - slow to import

            if isinstance(error, LostRankError):
                time.sleep(_GRACE)  # the launcher must see that the other rank is lost before this one ends
            get_error_handler().record_exception(error)
        raise


def launch(command: Sequence[str], ranks: int, options: RunOptions) -> None:
    """Start a command as the ranks of this machine, as `torchrun --standalone` does, and wait for their end.

    Args:
        command: the program and its arguments.
        ranks: how many processes to start.
        options: the section `[run]`.

    Raises:
        ConfigError: there are fewer GPUs than ranks.
        InputError: a rank ended with an input error; the message says which.
        TrainingError: a rank failed, or was killed; the message says which.
        KeyboardInterrupt: the run was asked to stop, and its state is saved.
    """
    if options.device != "cpu" and torch.cuda.device_count() < ranks:
        raise ConfigError(
            f"--gpus {ranks}: torch sees {quantity(torch.cuda.device_count(), 'GPU')} here; ask for at most that many, or set "
            'run.device = "cpu" to let as many processes share the processor'
        )
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415 - only a launcher needs it
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed.elastic"):  # the error below says it in one sentence
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
    if hasattr(config, "signals_to_handle"):  # torch 2.6 has no such choice, and ends what `nohup` started
        config.signals_to_handle = ",".join(number.name for number in signals())
    handlers = {number: signal.getsignal(number) for number in signals()}
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
        for number, handler in handlers.items():  # torch does not restore them
            signal.signal(number, handler)


def _portions(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Split tensors into groups of neighbours, none with more numbers than are sent at a time."""
    portion: list[Tensor] = []
    for tensor in tensors:
        if portion and sum(one.numel() for one in portion) + tensor.numel() > _PORTION:
            yield portion
            portion = []
        portion.append(tensor)
    if portion:
        yield portion


def _lost(failure: ProcessFailure) -> bool:
    """Whether a rank failed only because another one was lost."""
    return _recorded(failure)[0] == LostRankError.__name__


def _reason(failure: ProcessFailure) -> str:
    """Why a rank failed: the error that it recorded, or how its process ended."""
    if failure.exitcode < 0:
        memory = ", as the system does when memory runs out" if failure.exitcode == -signal.SIGKILL else ""
        return f"it was killed by {failure.signal_name()}{memory}"
    kind, text = _recorded(failure)
    if not kind:
        return f"it ended with exit code {failure.exitcode}"
    return text if hasattr(errors, kind) else f"{kind}: {text}"


def _recorded(failure: ProcessFailure) -> tuple[str, str]:
    """The kind and the text of the error that a rank recorded; empty if it recorded none."""
    message = failure.error_file_data["message"]
    if isinstance(message, str):
        return "", ""
    kind, _, text = str(message["message"]).partition(": ")
    return kind, text
