"""Ranks that begin with everything imported: each is a fork of one server, and a light process that lives and dies with it.

`python forked_ranks.py CONFIG…` is what torchrun starts, in place of `python training_ranks.py CONFIG…`; and
`python forked_ranks.py evaluate …` in place of `hakubooru-train evaluate …`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import contextmanager, suppress

_ADDRESS = "FORKED_RANKS"


@contextmanager
def server():
    """A process that forks ranks, for as long as the `with` statement lasts."""
    from training_kills import forks

    lasts, ours = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="ranks") as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/socket"
        listener.bind(address)
        listener.listen()
        process = forks().Process(target=serve, args=(listener, lasts))
        process.start()
        lasts.close()
        os.environ[_ADDRESS] = address
        try:
            yield
        finally:
            del os.environ[_ADDRESS]
            ours.close()  # at which it ends
            process.join()


def serve(listener, lasts):
    """Fork a rank for each connection; a connection that is closed ends its rank, and a rank that ends is answered."""
    import evaluation_processes
    import training_ranks

    ranks = {}
    while True:
        ready, _, _ = select.select([listener, lasts, *ranks.values()], [], [], 0.02)
        if lasts in ready:
            break
        if listener in ready:
            connection, _ = listener.accept()
            with connection.makefile() as lines:
                request = json.loads(lines.readline())
            pid = os.fork()
            if pid == 0:
                evaluates = request["arguments"][0] == "evaluate"
                _be_rank(evaluation_processes.be_rank if evaluates else training_ranks.main, request)
            connection.sendall(f"{pid}\n".encode())
            ranks[pid] = connection
        for pid, connection in list(ranks.items()):
            if connection in ready:  # the light process is gone
                os.kill(pid, signal.SIGKILL)
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(OSError):
                    connection.sendall(f"{code}\n".encode())
                ranks.pop(pid).close()
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)


def _be_rank(main, request):
    os.environ.clear()
    os.environ.update(request["environment"])
    code = 1
    try:
        code = main(request["arguments"]) or 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        _end_by(signal.SIGINT)
    except Exception:  # noqa: BLE001 - shown, as Python shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def live_as_rank(arguments):
    """Ask for a rank, hand on the signals that come, and end as it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[_ADDRESS])
        request = {"arguments": arguments, "environment": dict(os.environ)}
        connection.sendall(f"{json.dumps(request)}\n".encode())
        with connection.makefile() as answers:
            pid = int(answers.readline())
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, _: os.kill(pid, number))
            code = int(answers.readline())
    if code < 0:
        _end_by(-code)
    sys.exit(code)


def _end_by(number):
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    live_as_rank(sys.argv[1:])
