"""Sinks write pairs of image and caption: as pairs of files, as files with a list, in shards, or captions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hakubooru.export.sinks.base import STATE, Sink, Writer, beside, place
from hakubooru.export.sinks.folder import CaptionsSink, FolderSink
from hakubooru.export.sinks.listed import ImageFolderSink, KohyaJsonSink, KohyaRelativeSink
from hakubooru.export.sinks.memory import MemorySink
from hakubooru.export.sinks.webdataset import WebDatasetSink

if TYPE_CHECKING:
    from collections.abc import Callable

SINKS: Final[dict[str, Callable[[str], Sink]]] = {
    sink.name: sink
    for sink in (FolderSink, WebDatasetSink, ImageFolderSink, KohyaJsonSink, KohyaRelativeSink, CaptionsSink)
}
"""The sinks by name; call one with the export's folder."""

__all__ = [
    "SINKS",
    "STATE",
    "CaptionsSink",
    "FolderSink",
    "ImageFolderSink",
    "KohyaJsonSink",
    "KohyaRelativeSink",
    "MemorySink",
    "Sink",
    "WebDatasetSink",
    "Writer",
    "beside",
    "place",
]
