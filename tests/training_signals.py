"""Training runs as processes of their own, which get signals at chosen moments; used by tests and by hand.

One process imports everything once; each run is a fork of it that calls the command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path


class Runs:
    """Starts runs; for use in a `with` statement."""

    def __enter__(self):
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *exc):
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait()

    def __call__(self, *arguments, signals=(), after=None):
        """Call `hakubooru-train run` with arguments, and give its exit code and what it said.

        Args:
            arguments: of the command.
            signals: (text, count, signal): when an event of the file system whose name and path have `text` in them
                happens for the `count`th time, the process gets the signal; then the next of the list is looked out for.
            after: seconds, after which it is killed.
        """
        told = {"arguments": [*map(str, arguments)], "signals": [*signals], "after": after}
        self.server.stdin.write(json.dumps(told) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        return answer["code"], answer["said"]


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


def serve():
    import bitsandbytes.optim.lion  # noqa: F401 - the forks have them
    import torch.utils.tensorboard  # noqa: F401

    import hakubooru_trainer.loop  # noqa: F401

    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                code = 70
                try:
                    code = _child(json.loads(line), output)
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            said = output.read().decode()
        print(json.dumps({"code": code, "said": said}), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve()
