"""torchrun, with ranks that begin with everything imported, as it does itself."""

from __future__ import annotations

import os
from pathlib import Path

import forked


def start(restarts, output, function, *arguments, **environment):
    """Start two ranks by torchrun, and give the process that is torchrun.

    Args:
        restarts: how often it may start both again, when one is lost.
        output: a file for what all of them say.
        function: what a rank calls, with the list of arguments.
        arguments: the arguments of its command line.
        environment: more variables of theirs.
    """
    options = ["--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    name = f"{function.__module__}:{function.__qualname__}"
    command = [*options, forked.__file__, name, *map(str, arguments)]
    return forked.start(be, output, command, environment=os.environ | {"OMP_NUM_THREADS": "1"} | environment)


def be(output, arguments):
    """Be torchrun."""
    from torch.distributed.run import main

    with Path(output).open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    main(arguments)
