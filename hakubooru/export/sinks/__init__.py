"""Sinks write pairs of image and caption in one form; each module of this package is the sink of its name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hakubooru.export.sink import Sink

SINKS: Final = tuple(module.name.replace("_", "-") for module in iter_modules(__path__))
"""The names of the sinks."""


@cache
def sink_class(name: str) -> type[Sink]:
    """Return the class of a sink; its module is loaded now.

    Args:
        name: one of `SINKS`.
    """
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    classes = (value for value in vars(module).values() if isinstance(value, type))
    return next(value for value in classes if vars(value).get("name") == name)
