"""The entry points of both commands; Ctrl-C ends them quietly even while modules are being imported."""

from __future__ import annotations

import sys
from importlib import import_module


def library() -> None:
    """Run the command `hakubooru`."""
    _start("hakubooru_cli.main")


def trainer() -> None:
    """Run the command `hakubooru-train`."""
    _start("hakubooru_cli.train")


def _start(module: str) -> None:
    try:
        main = import_module(module).main
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before the command began\n")
        sys.exit(130)
    main()
