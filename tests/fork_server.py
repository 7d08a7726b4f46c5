"""Functions run in processes that begin with everything imported: each is a fork of one process, and may be killed."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
import traceback
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path


class ForkServer:
    """A process that has imported some modules, and that forks for each call."""

    def __init__(self, connection):
        self._connection = connection

    def run(self, function, *arguments):
        """The exit code of a process that calls a function; minus the number of the signal that ended it."""
        self._connection.send((function, arguments))
        return self._connection.recv()

    def learn(self, function, *arguments):
        """Call a function in a process, and import what it imported, for the processes after it to begin with."""
        with tempfile.NamedTemporaryFile() as names:
            assert self.run(_call_and_name_modules, names.name, function, *arguments) == 0
            self._connection.send((_import, (names.read().decode().split(),)))
            self._connection.recv()


@contextmanager
def fork_server(*modules):
    """A server that has imported these modules, for as long as the `with` statement lasts.

    It is not the one of `multiprocessing`, of which a process has one only: that one has imported what the trainer needs.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, modules))
    process.start()
    theirs.close()
    ours.recv()  # all is imported
    try:
        yield ForkServer(ours)
    finally:
        ours.close()  # at which it ends
        process.join()
        process.close()


def _call_and_name_modules(path, function, *arguments):
    function(*arguments)
    Path(path).write_text(" ".join(sys.modules))


def _import(names):
    for name in names:
        with suppress(ImportError):  # of a module that another one made
            import_module(name)
    gc.freeze()  # a collector that walks in a fork has its memory copied


def _serve(connection, modules):
    for name in modules:
        import_module(name)
    gc.freeze()
    connection.send("ready")
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        if function is _import:
            connection.send(_import(*arguments))
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                function(*arguments)
                code = 0
            except SystemExit as error:
                code = error.code or 0
            except BaseException:  # noqa: BLE001 - shown, as Python shows it
                traceback.print_exc()
            finally:
                os._exit(code)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
