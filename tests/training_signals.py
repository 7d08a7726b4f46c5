"""Training runs as processes of their own, which get signals at chosen moments; used by tests and by hand."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path

import torch

import forked


def call(*arguments, signals=(), kill_after=None):
    """Call `hakubooru-train run` with arguments, and give its exit code and its output.

    Args:
        arguments: of the command.
        signals: (text, count, signal): when an event of the file system whose name and path have `text` in them
            happens for the `count`th time, the process gets the signal; then the next of the list is looked out for.
        kill_after: the seconds after which it is killed.
    """
    with tempfile.NamedTemporaryFile() as output:
        code = forked.run(be_command, output.name, [*map(str, arguments)], [*signals], kill_after)
        return code, Path(output.name).read_text(encoding="utf-8")


def be_command(output, arguments, signals, kill_after):
    """Be that process, whose output goes into a file."""
    from hakubooru_cli.train import main

    torch.set_num_threads(1)
    with Path(output).open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["hakubooru-train", "run", *arguments]
    sys.addaudithook(_signalling(signals))
    if kill_after is not None:
        killer = threading.Timer(kill_after, os.kill, (os.getpid(), 9))
        killer.daemon = True
        killer.start()
    main()


def _signalling(signals):
    waiting = [list(some) for some in signals]

    def hook(event, arguments):
        if not waiting or not event.startswith(("open", "os.", "shutil.")) or not arguments:
            return
        text, _, number = waiting[0]
        if text in f"{event} {arguments[0]}":
            waiting[0][1] -= 1
            if waiting[0][1] == 0:
                del waiting[0]
                os.kill(os.getpid(), number)

    return hook
