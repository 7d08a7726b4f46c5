"""Runs that kill themselves at a chosen moment, in forks of one process that has imported everything."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from pathlib import Path

import torch

import forked
from hakubooru_trainer import durable, loop


def run(options, at=0, **how):
    """Train in a process of its own, which kills itself at the `at`-th moment; its exit code."""
    return forked.run(train, options, at, how)


def kill(options, draw, most):
    """Train in a process of its own, which kills itself at a random moment, no later than at the `most`th, before it is done."""
    out, before = Path(options.run.out), Path(f"{options.run.out}.before")
    out.mkdir(exist_ok=True)
    shutil.copytree(out, before)
    while run(options, at=(at := draw.randint(1, most))) != -signal.SIGKILL:
        most = at - 1  # it was done before
        shutil.rmtree(out)
        shutil.copytree(before, out)
    shutil.rmtree(before)


def train(options, at, how):
    """Train, and be killed at the `at`-th moment."""
    torch.set_num_threads(1)
    moments = itertools.count(1)

    def after(call):
        def counted(*arguments, **keywords):
            if next(moments) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return counted

    def halfway(tensors):
        for part in whole(tensors):
            yield part
            if next(moments) == at:
                os.kill(os.getpid(), signal.SIGKILL)

    whole, durable._safetensors = durable._safetensors, halfway
    loop._update = after(loop._update)
    os.fsync = after(os.fsync)
    Path.replace = after(Path.replace)
    shutil.rmtree = after(shutil.rmtree)
    loop.run(options, **how)
