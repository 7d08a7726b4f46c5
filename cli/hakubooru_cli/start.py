"""The entry points of both commands; Ctrl-C and SIGTERM end them quietly even while modules are being imported."""

from __future__ import annotations

import signal
import sys
from importlib import import_module


def library() -> None:
    """Run the command `hakubooru`."""
    _start("hakubooru_cli.main")


def trainer() -> None:
    """Run the command `hakubooru-train`."""
    _start("hakubooru_cli.train")


def _start(module: str) -> None:
    # Whoever ends a command so, such as a container that stops, wants it to clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main = import_module(module).main
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before the command began\n")
        sys.exit(130)
    main()
