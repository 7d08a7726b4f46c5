"""Running the tasks of an export on a Ray cluster whose nodes see the same storage.

The driver plans, keeps the journal, and holds no image. A node reads an archive and writes its pairs itself.
Tasks run as long as a lease exists, a file in the export's folder. They stop when it is gone. So tasks also end if
their driver was killed and the next export removes the lease.
"""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Self

from hakubooru.errors import HakubooruError, IncompleteError, InputError
from hakubooru.export.engine import Engine, Work
from hakubooru.export.pairs import Outcome, Task
from hakubooru.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_LEASE: Final = "driver-"
_LOOK: Final = 0.5
"""Seconds between two checks of the lease."""


class ClusterEngine(Engine[Task, Outcome]):
    """Runs tasks on a Ray cluster; used in a `with` statement.

    Args:
        work: the function to call with each task.
        workers: processes of a cluster that is started on this machine.
        address: the address of a running cluster, `HOST:PORT`, or `auto` for the cluster that this machine belongs to.
            None starts one on this machine alone. If Ray is connected already, the connection is used as it is.
        state: a folder of the export that all nodes see.
        needs: files and folders that all nodes must see.
    """

    def __init__(
        self,
        work: Work[Task, Outcome],
        workers: int,
        *,
        address: str | None,
        state: Path,
        needs: Sequence[str],
    ) -> None:
        self.work = work
        self.workers = workers
        self.address = address
        self.lease = state / f"{_LEASE}{uuid.uuid4().hex}"
        self.needs = needs
        self.ray = _ray()
        self.connects = not self.ray.is_initialized()

    def __enter__(self) -> Self:
        """Connect, and check that every node can do the work.

        Raises:
            InputError: the cluster cannot be reached, or a node lacks the package or the storage.
        """
        for old in self.lease.parent.glob(f"{_LEASE}*"):
            old.unlink(missing_ok=True)
        self.lease.touch()
        try:
            if self.connects:
                self._connect()
            self._check_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Run tasks on all nodes and yield their outcomes; each processor has one task waiting.

        Raises:
            IncompleteError: a task failed, or was lost twice with its worker.
        """
        ray = self.ray
        work = ray.put(pickle.dumps(self.work))
        # A worker can die with its node, or be killed by the system or a user: the task is then tried once more.
        do = ray.remote(num_cpus=1, max_retries=1)(_do)
        at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        tasks = iter(tasks)
        running: dict[Any, str] = {}
        try:
            while True:
                for task in itertools.islice(tasks, at_once - len(running)):
                    # In a list the reference travels as it is, and each process fetches the work once.
                    running[do.remote([work], str(self.lease), task)] = task.key
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1)
                yield self._outcome(done[0], running.pop(done[0]))
        finally:
            for unfinished in running:
                ray.cancel(unfinished)

    def _outcome(self, reference: Any, key: str) -> Outcome:
        try:
            outcome = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError:
            raise
        except self.ray.exceptions.RayError as error:
            raise IncompleteError(
                f"{key}: the worker was lost twice ({type(error).__name__}); run the same command again to resume"
            ) from error
        if isinstance(outcome, str):
            raise IncompleteError(f"{key}: {outcome}; run the same command again to resume")
        assert isinstance(outcome, Outcome)
        return outcome

    def __exit__(self, *exc: object) -> None:
        self.lease.unlink(missing_ok=True)
        if self.connects:
            self.ray.shutdown()

    def _connect(self) -> None:
        os.environ.setdefault(
            "RAY_USAGE_STATS_ENABLED", "0"
        )  # Ray reports usage only if the user asks for it
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            self.ray.init(address="local", num_cpus=self.workers, include_dashboard=False, **quiet)
            return
        try:
            if self.address != "auto":  # Ray itself would try for minutes
                host, _, port = self.address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=10).close()
            self.ray.init(address=self.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"the Ray cluster at {self.address} cannot be used ({error}); start one with `ray start --head`, or "
                "leave the address out to use this machine alone"
            ) from error

    def _check_nodes(self) -> None:
        """Check that every node has the package and the storage.

        Raises:
            InputError: some nodes lack one; the message names them.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - an extra

        look = self.ray.remote(num_cpus=0, max_retries=0)(_looking_around())
        nodes = [node for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        references = {
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})": look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(__version__, str(self.lease), list(self.needs))
            for node in nodes
        }
        lacking, answers = [], 0
        for node, reference in references.items():
            try:
                lacks = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError:
                raise
            except self.ray.exceptions.RayError:
                continue  # a node that is gone is listed for a while
            answers += 1
            if lacks:
                lacking.append(f"{node} {lacks}")
        if lacking:
            raise InputError(f"not every node of the cluster can export: {'; '.join(lacking)}")
        if not answers:
            raise InputError(
                "the cluster has no node that accepts tasks; start a node with `ray start --address HOST:PORT`"
            )


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputError("the engine `ray` needs the extra `ray`: pip install '.[ray]'") from error
    return ray


def _looking_around() -> Any:
    """Return the function that checks a node; it is sent as code, so that it runs where the package is missing."""

    def look(version: str, lease: str, needs: list[str]) -> str:
        import pathlib  # noqa: PLC0415 - all it needs goes along

        try:
            from hakubooru.version import __version__ as here  # noqa: PLC0415
        except ImportError as error:
            return f"cannot import hakubooru ({error}); install it there, for the same version of Python"
        if here != version:
            return f"has hakubooru {here}, but this machine has {version}; install the same version"
        unseen = [path for path in needs if not pathlib.Path(path).exists()]
        if unseen:
            return f"does not see {', '.join(unseen)}; mount the storage there under the same path"
        folder = pathlib.Path(lease).parent
        if not pathlib.Path(lease).exists():
            return f"does not see the files written to {folder}; mount the same storage there under the same path"
        return ""

    return look


_here: dict[str, Any] = {}
"""The state of a worker process: the lease that it last worked under, and the work."""


def _do(boxed: list[Any], lease: str, task: Task) -> Outcome | str:
    """Do a task in a worker of a node; return the outcome, or what went wrong as text with the node's name."""
    node = f"node {socket.gethostname()} ({_ray().util.get_node_ip_address()})"
    try:
        if _here.get("lease") != lease:
            _here.update(work=pickle.loads(_ray().get(boxed[0])), lease=lease)  # noqa: S301 - of our own driver
        outcome: Outcome = _here["work"](task, stopped=_Ended(lease))
    except (OSError, HakubooruError) as error:
        return f"on {node}: {error}"
    if outcome.lost:
        outcome.lost += f", on {node}"
    return outcome


class _Ended:
    """Says whether a lease is gone; checks at most twice a second."""

    def __init__(self, lease: str) -> None:
        self.lease = lease
        self.next = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + _LOOK
        return not os.path.exists(self.lease)  # noqa: PTH110 - asked for each image
