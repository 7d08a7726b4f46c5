"""Where pairs of image and caption go: pairs of files, listed files, shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hakubooru.errors import InputError
from hakubooru.export.sinks.base import STATE, Sink, Writer, beside, place
from hakubooru.export.sinks.folder import FolderSink
from hakubooru.export.sinks.listed import ImageFolderSink, KohyaJsonSink
from hakubooru.export.sinks.memory import MemorySink
from hakubooru.export.sinks.webdataset import WebDatasetSink

if TYPE_CHECKING:
    from collections.abc import Callable

SINKS: Final[dict[str, Callable[[str], Sink]]] = {
    sink.name: sink for sink in (FolderSink, WebDatasetSink, ImageFolderSink, KohyaJsonSink)
}
"""What makes a sink of a name for a folder."""

__all__ = [
    "SINKS",
    "STATE",
    "FolderSink",
    "ImageFolderSink",
    "KohyaJsonSink",
    "MemorySink",
    "Sink",
    "WebDatasetSink",
    "Writer",
    "beside",
    "place",
    "sink_named",
]


def sink_named(name: str, out: str) -> Sink:
    """The sink of a name, for a folder.

    Raises:
        InputError: there is none.
    """
    if name not in SINKS:
        raise InputError(f"there is no sink {name!r}; there are {', '.join(SINKS)}")
    return SINKS[name](out)
