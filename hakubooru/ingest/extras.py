"""Libraries that only some sources need, imported when such a source is opened."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import DumpError

if TYPE_CHECKING:
    from pathlib import Path

_EXTRAS: Final = {"fsspec": "remote", "huggingface_hub": "remote"}
"""The extra of each library that is not in the extra `formats`."""


def library(name: str, path: Path | str, kind: str) -> Any:
    """Import a library that is an extra.

    Args:
        name: the module, such as `duckdb`.
        path: the source that needs it, for the message.
        kind: what the source is, such as "a DuckDB file".

    Raises:
        DumpError: the library is not installed; the message has the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        extra = _EXTRAS.get(name.partition(".")[0], "formats")
        raise DumpError(
            f"{path} is {kind}, and the library {name} is not installed: pip install '.[{extra}]' in the folder of hakubooru"
        ) from error
