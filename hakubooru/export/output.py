"""A recipe's `[output]`: in which form a data set is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hakubooru.errors import InputError
from hakubooru.export.sinks import SINKS, Sink, WebDatasetSink
from hakubooru.export.sinks.webdataset import SHARD_BYTES, SHARD_IMAGES
from hakubooru.nearest import nearest
from hakubooru.tables import from_table

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """In which form a data set is written.

    Raises:
        InputError: a field does not have one of the values that it can have; the message names it.
    """

    sink: str = "folder"
    """`folder` (pairs of files), `webdataset` (shards), `imagefolder` (with `metadata.jsonl`), `kohya-json` (with
    sd-scripts' `meta.json`, which has absolute paths), `kohya-json-relative` (with paths below the folder) or `captions` (text alone, for which no images are needed)."""
    shard_images: int = SHARD_IMAGES
    """Images of a shard at the most."""
    shard_bytes: int = SHARD_BYTES
    """A shard ends with the image by which its images reach this many bytes."""

    def __post_init__(self) -> None:
        if self.sink not in SINKS:
            raise InputError(f"[output] sink = {self.sink!r}; {nearest(str(self.sink), SINKS)}")
        for name in ("shard_images", "shard_bytes"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InputError(f"[output] {name} = {value!r}; it is a whole number above 0")

    def sink_for(self, out: str) -> Sink:
        """What writes in this form into a folder."""
        if self.sink == WebDatasetSink.name:
            return WebDatasetSink(out, self.shard_images, self.shard_bytes)
        return SINKS[self.sink](out)

    def settings(self) -> dict[str, object]:
        """What the files of an export depend on, by names for messages."""
        shards = {
            "shards": "across archives",
            "shard_images": self.shard_images,
            "shard_bytes": self.shard_bytes,
        }
        own: dict[str, object] = {"sink": self.sink}
        return own | shards if self.sink == WebDatasetSink.name else own


def output_format(value: OutputFormat | Mapping[str, Any] | None) -> OutputFormat:
    """A form as it is, or from a table (a recipe's `[output]`); None is pairs of files.

    Raises:
        InputError: it is no such table; the message names the key.
    """
    return from_table(OutputFormat, value, "output")
