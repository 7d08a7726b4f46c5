"""Conversions that get a signal at a chosen moment, in forks of one process that has imported everything."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import torch

import forked
from hakubooru_cli.shell import run
from hakubooru_cli.train import cli
from hakubooru_trainer.model import stream


def convert(arguments, signal=0, at=0, moments=None):
    """Run `hakubooru-train convert` in a process of its own, which signals itself at the `at`-th moment; its exit code.

    Args:
        arguments: the arguments of the command.
        signal: the signal.
        at: the number of the moment, from 1; with 0 there is no signal.
        moments: a file that the number of all moments is written to.
    """
    return forked.run(converting, arguments, signal, at, moments)


def converting(arguments, signal, at, moments):
    """Be that process."""
    torch.set_num_threads(1)
    count = itertools.count(1)
    last = 0

    def counting(call):
        def wrapper(*inputs, **how):
            nonlocal last
            last = next(count)
            if last == at:
                os.kill(os.getpid(), signal)
            return call(*inputs, **how)

        return wrapper

    stream.head, stream.body = counting(stream.head), counting(stream.body)
    os.fsync, os.replace = counting(os.fsync), counting(os.replace)
    Path.rename = counting(Path.rename)
    sys.argv = ["hakubooru-train", "convert", *map(str, arguments)]
    code = run(cli, "hakubooru-train")
    if moments:
        Path(moments).write_text(str(last))
    sys.exit(code)
