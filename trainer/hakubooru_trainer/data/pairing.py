"""Pairing of images and captions in a shard, by webdataset's rule.

Members in a row whose own names agree up to the first dot are one sample: they share a key. Within a sample, the caption of an
image has the image's name up to the last dot. If a sample has one image and one caption, their names may differ.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_AMBIGUOUS: Final = "one of several images under one key, without a caption of its own name"
_REPEATED: Final = "a name that its sample has twice"


class Part(NamedTuple):
    """An image or a caption in a shard."""

    place: int
    """Where its header stands in the shard, in bytes."""
    name: str
    row: dict[str, Any] | None
    """The row of an image; None for a caption."""
    caption: bytes = b""


def paired(parts: Iterable[Part], kinds: Sequence[str]) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    """The rows of images with their captions, None for no caption. A row has a `reason` if its caption is ambiguous.

    Args:
        parts: the parts of one shard, in any order.
        kinds: extensions of captions; earlier ones win.
    """
    ordered = sorted(parts, key=lambda part: part.place)
    for _, sample in groupby(ordered, key=lambda part: key_of(part.name)):
        yield from _of_sample([*sample], kinds)


def _of_sample(parts: list[Part], kinds: Sequence[str]) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    captions: dict[str, bytes] = {}
    for part in sorted(
        (part for part in parts if part.row is None), key=lambda part: kinds.index(extension_of(part.name))
    ):
        captions.setdefault(_stem(part.name), part.caption)
    images = {part.name: part for part in reversed(parts) if part.row is not None}
    for part in parts:
        if part.row is None:
            continue
        caption = captions.get(_stem(part.name))
        if images[part.name] is not part:
            yield part.row | {"reason": _REPEATED}, caption
        elif caption is not None or not captions:
            yield part.row, caption
        elif len(images) > 1:
            yield part.row | {"reason": _AMBIGUOUS}, None
        else:
            yield part.row, next(iter(captions.values())) if len(captions) == 1 else None


def key_of(name: str) -> str:
    """The part of a member's own name up to the first dot, after its folder."""
    folder, slash, own = name.rpartition("/")
    return f"{folder}{slash}{own.partition('.')[0]}"


def extension_of(name: str) -> str:
    """The extension of a member's own name, with the last dot, in lower case."""
    _, dot, extension = name.rpartition("/")[2].rpartition(".")
    return f"{dot}{extension}".lower()


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
