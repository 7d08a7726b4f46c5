"""Training runs as processes of their own, which get signals at chosen moments; used by tests and by hand.

Each run is a fork of one process that has imported everything, and calls the command line.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
from contextlib import suppress

import torch

from training_kills import forks


class Runs:
    """Starts runs; for use in a `with` statement."""

    def __enter__(self):
        self._connection, theirs = multiprocessing.Pipe()
        self._server = forks().Process(target=_serve, args=(theirs,))
        self._server.start()
        theirs.close()
        return self

    def __exit__(self, *exc):
        self._connection.close()
        self._server.join()

    def __call__(self, *arguments, signals=(), after=None):
        """Call `hakubooru-train run` with arguments, and give its exit code and what it said.

        Args:
            arguments: of the command.
            signals: (text, count, signal): when an event of the file system whose name and path have `text` in them
                happens for the `count`th time, the process gets the signal; then the next of the list is looked out for.
            after: seconds, after which it is killed.
        """
        told = {"arguments": [*map(str, arguments)], "signals": [*signals], "after": after}
        self._connection.send(told)
        return self._connection.recv()


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


def _child(told, output):
    from hakubooru_cli.train import main

    torch.set_num_threads(1)
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    sys.argv = ["hakubooru-train", "run", *told["arguments"]]
    sys.addaudithook(_signalling(told["signals"]))
    if told["after"] is not None:
        killer = threading.Timer(told["after"], os.kill, (os.getpid(), 9))
        killer.daemon = True
        killer.start()
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        return end.code
    return 70  # main always exits


def _serve(connection):
    with suppress(EOFError):
        while True:
            told = connection.recv()
            with tempfile.TemporaryFile() as output:
                child = os.fork()
                if child == 0:
                    code = 70
                    try:
                        code = _child(told, output)
                    finally:
                        os._exit(code)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                output.seek(0)
                connection.send((code, output.read().decode()))
