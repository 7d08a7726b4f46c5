"""Where both commands begin: Ctrl-C ends them quietly also while everything is still being imported."""

from __future__ import annotations

import sys
from importlib import import_module


def library() -> None:
    """`hakubooru`."""
    _start("hakubooru_cli.main")


def trainer() -> None:
    """`hakubooru-train`."""
    _start("hakubooru_cli.train")


def _start(module: str) -> None:
    try:
        main = import_module(module).main
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before anything was begun\n")
        sys.exit(130)
    main()
