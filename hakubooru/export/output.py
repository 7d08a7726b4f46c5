"""A recipe's `[output]`: the form of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from hakubooru.errors import InputError
from hakubooru.export.sink import SHARD_BYTES, SHARD_IMAGES
from hakubooru.export.sinks import SINKS, sink_class
from hakubooru.nearest import nearest
from hakubooru.settings import Bounds, check, read_section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakubooru.export.sink import Sink


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """The form of a data set: a recipe's `[output]`.

    Raises:
        InputError: a field has an invalid value; the message names the field.
    """

    sink: str = "folder"
    """The sink's name, one of `hakubooru.export.SINKS`; `hakubooru export --help` says what each one writes."""
    shard_images: Annotated[int, Bounds(1)] = SHARD_IMAGES
    """The most images of a shard."""
    shard_bytes: Annotated[int, Bounds(1)] = SHARD_BYTES
    """A shard ends with the image by which its images reach this many bytes."""

    def __post_init__(self) -> None:
        check(self, "output")
        if self.sink not in SINKS:
            raise InputError(f'output.sink = "{self.sink}"; {nearest(self.sink, SINKS)}')

    def sink_for(self, out: str) -> Sink:
        """Return the sink that writes this form into a folder."""
        return sink_class(self.sink)(out, shard_images=self.shard_images, shard_bytes=self.shard_bytes)

    def settings(self) -> dict[str, object]:
        """Return the options that the files of an export depend on, by name."""
        shards = {
            "shards": "across archives",
            "shard_images": self.shard_images,
            "shard_bytes": self.shard_bytes,
        }
        sink: dict[str, object] = {"sink": self.sink}
        return sink | shards if sink_class(self.sink).has_shards else sink


def output_format(value: OutputFormat | Mapping[str, Any] | None) -> OutputFormat:
    """Return an `OutputFormat` from itself, from a table (a recipe's `[output]`), or from None: pairs of files.

    Raises:
        InputError: the table has an unknown key or an invalid value; the message names the key.
    """
    return read_section(OutputFormat, value, "output")
