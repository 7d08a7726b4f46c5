"""Evaluations in processes of their own, forks of one that has imported everything: killed at a moment, or ranks of torchrun."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path

import torch

import forked
import torchrun
from hakubooru_cli import shell
from hakubooru_cli.train import cli
from hakubooru_trainer import distributed
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate import catalogue, drawing, evaluation
from planted import Painter


def run(task, at=0):
    """Evaluate a painter in a process of its own, which kills itself at the `at`-th moment; its exit code."""
    return forked.run(evaluate, task, at)


def ranks(arguments, halt, output):
    """Start `hakubooru-train` as two ranks by torchrun, which starts both again once if one is lost.

    Args:
        arguments: what stands behind `hakubooru-train`.
        halt: "RANK PICTURE SIGNAL": the rank sends itself the signal when this picture of its own is written, but has not its name
            yet; only in the first start.
        output: a file for what they say.
    """
    return torchrun.start(1, output, be_rank, *arguments, HALT=halt)


def kill_all(launcher):
    """Kill torchrun and all that it started, with no time for last words."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    for pid in (launcher.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    launcher.wait()


def be_rank(arguments):
    """Be a rank of `hakubooru-train` that `ranks` started; return its exit code."""
    torch.set_num_threads(1)
    rank, picture, name = os.environ["HALT"].split()
    pictures, plain = itertools.count(1), drawing.replacing
    halts = os.environ["RANK"] == rank and not distributed.restarted()

    @contextmanager
    def replacing(path):
        with plain(path) as beside:
            yield beside
            if next(pictures) == int(picture) and halts:
                os.kill(os.getpid(), getattr(signal, name))

    drawing.replacing = replacing
    sys.argv = ["hakubooru-train", *arguments]
    return shell.run(cli, "hakubooru-train")


def evaluate(task, at):
    """Be that process."""
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
