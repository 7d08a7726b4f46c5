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
    out, copy = Path(options.run.out), Path(f"{options.run.out}.before")
    out.mkdir(exist_ok=True)
    shutil.copytree(out, copy)
    while run(options, at=(at := draw.randint(1, most))) != -signal.SIGKILL:
        most = at - 1  # it was done before
        shutil.rmtree(out)
        shutil.copytree(copy, out)
    shutil.rmtree(copy)


def train(options, at, how):
    """Train, and be killed at the `at`-th moment."""
    torch.set_num_threads(1)
    moments = itertools.count(1)

    def counting(call):
        def wrapper(*arguments, **keywords):
            if next(moments) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return wrapper

    def file_parts(tensors):
        parts = whole(tensors)
        yield next(parts)
        if next(moments) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from parts

    whole, durable._safetensors = durable._safetensors, file_parts
    loop._update = counting(loop._update)
    os.fsync = counting(os.fsync)
    Path.replace = counting(Path.replace)
    shutil.rmtree = counting(shutil.rmtree)
    loop.run(options, **how)
