"""Functions called in processes that begin with everything imported: forks of one process that has run no test.

pytest starts that process when it has collected the tests, and so imported what they need (see conftest.py); elsewhere the first call
does. `python forked.py MODULE:FUNCTION ARGUMENT…` is a light process that lives and dies with a call, as a rank of torchrun.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing import connection

_ADDRESS = "FORKED"
"""The variable of the environment that holds the address of the process that forks."""

_lives = []
"""The end of a pipe: the process that forks ends when it is closed."""


class Fork:
    """A process that calls a function of a module, and writes to where this one does; it is killed when it is closed.

    Args:
        name: `module:function`.
        arguments: of the function. What it returns, or exits with, is the process's exit code.
        environment: variables that the process has in place of those of this one.
    """

    def __init__(self, name, *arguments, environment=None):
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(os.environ[_ADDRESS])
        socket.send_fds(caller, [b" "], [1, 2])
        self._connection = connection.Connection(caller.detach())
        self._connection.send((name, arguments, environment or dict(os.environ)))
        self.pid = self._connection.recv()
        self.code = None

    def poll(self):
        """The exit code, or minus the number of the signal that ended the process; None as long as it lives."""
        return self.wait() if self.code is None and self._connection.poll() else self.code

    def wait(self):
        """The exit code, or minus the number of the signal that ended the process."""
        if self.code is None:
            self.code = self._connection.recv()
            self.close()
        return self.code

    def close(self):
        self._connection.close()


def start(function, *arguments, environment=None):
    """Call a function in a process of its own."""
    begin()
    return Fork(f"{function.__module__}:{function.__qualname__}", *arguments, environment=environment)


def run(function, *arguments):
    """Call a function in a process of its own; its exit code, or minus the number of the signal that ended it."""
    return start(function, *arguments).wait()


def begin():
    """Start the process that forks, if there is none; it ends with this one."""
    import shutil
    import warnings

    if _lives:
        return
    _name_frames()
    folder = tempfile.mkdtemp(prefix="forks")
    os.environ[_ADDRESS] = f"{folder}/socket"
    lasts, lives = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ[_ADDRESS])
        listener.listen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, of which none holds a lock
            pid = os.fork()
        if pid == 0:
            os.close(lives)
            _forget_pytest()
            try:
                _serve(listener, lasts)
            except BaseException:  # noqa: BLE001 - shown, as Python shows it
                traceback.print_exc()
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                os._exit(0)
    os.close(lasts)
    _lives.append(lives)


def _name_frames():
    """Say which modules the frames of this call belong to.

    torch's launcher asks that of the whole stack some twenty times, and `inspect` looks through all modules for a frame whose
    file is none, as those are that start pytest.
    """
    import inspect

    frame = sys._getframe()
    while frame is not None:
        inspect.modulesbyfile.setdefault(frame.f_code.co_filename, frame.f_globals["__name__"])
        frame = frame.f_back


def _forget_pytest():
    """Write to the streams of the process, and warn as Python does."""
    import logging
    import warnings

    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
        for number, mode in enumerate("rww")
    )
    logging.root.handlers.clear()
    for logger in logging.root.manager.loggerDict.values():
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stderr)
    warnings.resetwarnings()


def _serve(listener, lasts):
    """Fork for each connection; one that is closed ends its process, and a process that ends is answered."""
    calls = {}
    while True:
        # A child's end wakes nobody.
        ready = connection.wait([listener, lasts, *calls.values()], 0.01 if calls else None)
        if lasts in ready:
            break
        for pid, call in list(calls.items()):
            if call in ready:  # whoever called is gone
                os.kill(pid, signal.SIGKILL)
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(OSError):
                    call.send(code)
                calls.pop(pid).close()
        if listener in ready:
            pid, call = _fork(listener.accept()[0])
            calls[pid] = call
    for pid in calls:
        os.kill(pid, signal.SIGKILL)


def _fork(caller):
    """Fork for a connection; the process's number, and the connection."""
    _, streams, _, _ = socket.recv_fds(caller, 1, 2)
    call = connection.Connection(caller.detach())
    name, arguments, environment = call.recv()
    import_module("preloaded")
    pid = os.fork()
    if pid == 0:
        for stream, number in zip(streams, (1, 2), strict=True):
            os.dup2(stream, number)
        _call(name, arguments, environment)
    for stream in streams:
        os.close(stream)
    call.send(pid)
    return pid, call


def _call(name, arguments, environment):
    os.environ.clear()
    os.environ.update(environment)
    module, _, function = name.partition(":")
    code = 1
    try:
        code = getattr(import_module(module), function)(*arguments) or 0
    except SystemExit as error:
        code = error.code or 0
    except KeyboardInterrupt:
        _end_by(signal.SIGINT)
    except BaseException:  # noqa: BLE001 - shown, as Python shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _live_with(name, *arguments):
    """Call a function, hand on the signals that come, and end as it does."""
    call = Fork(name, [*arguments])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(call.pid, number))
    code = call.wait()
    if code < 0:
        _end_by(-code)
    sys.exit(code)


def _end_by(number):
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    _live_with(*sys.argv[1:])
