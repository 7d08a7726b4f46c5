"""Evaluations in processes of their own, forks of one that has imported everything: killed at a moment, or ranks of one."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sqlite3
import sys

import torch

from hakubooru_cli import shell
from hakubooru_cli.train import cli
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate import catalogue, evaluation
from planted import Painter
from training_kills import forks


def run(task, at=0):
    """Evaluate a painter in a process of its own, which kills itself at the `at`-th moment; its exit code."""
    process = forks().Process(target=_evaluate, args=(task, at))
    process.start()
    process.join()
    return process.exitcode


def run_ranks(arguments, world):
    """Run `hakubooru-train` in several processes, which find each other as torchrun's do; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        forks().Process(
            target=_be_rank, args=(arguments, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        )
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _be_rank(arguments, environment):
    torch.set_num_threads(1)
    os.environ.update(environment)
    sys.argv = ["hakubooru-train", *arguments]
    raise SystemExit(shell.run(cli, "hakubooru-train"))


def _evaluate(task, at):
    torch.set_num_threads(1)
    moments = itertools.count(1)

    def moment():
        if next(moments) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Connection(sqlite3.Connection):
        def execute(self, statement, *arguments):
            result = super().execute(statement, *arguments)
            if statement in {"BEGIN IMMEDIATE", "COMMIT"}:
                moment()
            return result

    connect, fsync, replace = sqlite3.connect, os.fsync, os.replace
    catalogue.sqlite3.connect = lambda *arguments, **more: connect(*arguments, **more, factory=Connection)

    def synced(file):
        moment()
        fsync(file)

    def replaced(*paths):
        moment()
        replace(*paths)

    os.fsync, os.replace = synced, replaced
    with Ranks(torch.device("cpu")) as ranks:
        evaluation.evaluate(task, lambda: Painter.of(6, lambda own, draw: own), ranks, print)
    raise SystemExit(100 + min(next(moments), 99))  # how many moments there are
