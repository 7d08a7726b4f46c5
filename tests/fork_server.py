"""Functions run in processes that begin with everything imported: each is a fork of one process, and may be killed."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from contextlib import contextmanager
from importlib import import_module


class ForkServer:
    """A process that has imported some modules, and that forks for each call."""

    def __init__(self, connection):
        self._connection = connection

    def run(self, function, *arguments):
        """The exit code of a process that calls a function; minus the number of the signal that ended it."""
        self._connection.send((function, arguments))
        return self._connection.recv()


@contextmanager
def fork_server(*modules):
    """A server that has imported these modules, for as long as the `with` statement lasts.

    It is not the one of `multiprocessing`, of which a process has one only: that one has imported what the trainer needs.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, modules))
    process.start()
    theirs.close()
    try:
        yield ForkServer(ours)
    finally:
        ours.close()  # at which it ends
        process.join()
        process.close()


def _serve(connection, modules):
    for name in modules:
        import_module(name)
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                function(*arguments)
                code = 0
            except SystemExit as ended:
                code = ended.code or 0
            except BaseException:  # noqa: BLE001 - shown, as Python shows it
                traceback.print_exc()
            finally:
                os._exit(code)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
