"""Small pictures of images, as WebP."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hakubooru.image.decode import decode
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from hakubooru.image.shelf import NoImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.image.header import ImageHeader
    from hakubooru.image.shelf import Place

THUMBNAIL: Final = 360
"""The longest side of a thumbnail, in pixels."""
_QUALITY: Final = 75
_EFFORT: Final = 0
"""How hard WebP tries, 0 to 6: the highest takes ten times as long for a tenth fewer bytes."""


def thumbnail_of(place: Place) -> bytes:
    """Read an image and make its thumbnail, a WebP of at most `THUMBNAIL` pixels a side.

    Raises:
        NoImageError: the image cannot be read or decoded.
    """
    data = place.read()
    with refusals():
        return shrunk(data, read_header(data), THUMBNAIL)


def shrunk(data: bytes, header: ImageHeader, side: int) -> bytes:
    """Make a WebP of an image.

    Args:
        data: the whole file.
        header: the result of `read_header` for the file.
        side: the longest side, in pixels; a smaller image keeps its size.

    Raises:
        BrokenImageError: the file cannot be decoded.
    """
    scale = min(1.0, side / max(header.width, header.height))
    size = max(1, round(header.width * scale)), max(1, round(header.height * scale))
    image = decode(data, header, least=size)
    if image.size != size:
        from PIL.Image import Resampling  # noqa: PLC0415 - an image that is sent as it is needs no Pillow

        # Most of the reduction is by a whole number: one careful step would take half as long as decoding.
        image = image.resize(size, Resampling.HAMMING, reducing_gap=1.0)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
    return file.getvalue()


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the refusal of a file into `NoImageError`."""
    try:
        yield
    except BrokenImageError as error:
        raise NoImageError(str(error)) from error
