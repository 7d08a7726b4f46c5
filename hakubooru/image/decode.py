"""Decoding image files to pixels, in one way for conversions, checks, training and thumbnails.

A decoded image is upright, as EXIF asks. It is in sRGB with 8 bits a channel, and has no metadata. Its size is the size
that `read_header` gives.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hakubooru.image.header import ON_ITS_SIDE
from hakubooru.image.kinds import BrokenImageError, Refusal
from hakubooru.image.pillow import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from hakubooru.image.header import ImageHeader

DECODE_VERSION: Final = 2
"""Version of decoding, raised with every change of pixels or sizes; work begun with another version is not resumed."""

STORED_SIZES: Final = 1
"""The version of decoding that gave the size of the stored picture, whatever EXIF says, and of a GIF's screen."""

DECODE_CHANGES: Final = (
    "images are decoded in another way than before: turned as EXIF asks, in sRGB by their colour profiles, 16 bits of "
    "grey as grey, and GIFs as large as their first picture"
)
"""The last change of `DECODE_VERSION`, for messages."""


def decode(
    data: bytes,
    header: ImageHeader,
    *,
    background: str | None = None,
    least: tuple[int, int] | None = None,
) -> Image.Image:
    """Decode an image, or the first picture of an animation.

    Args:
        data: the whole file.
        header: the result of `read_header` for the file.
        background: a colour to put behind transparency; None keeps transparency.
        least: a width and height, in pixels, that are enough: a JPEG may then be decoded at a half, a quarter or an
            eighth of its size.

    Returns:
        an image in RGB, or in RGBA if some of it is transparent.

    Raises:
        BrokenImageError: the file cannot be decoded, or has another size than the header.
    """
    with _loaded(data, header, least) as image:
        profile = image.info.get("icc_profile")
        return _flat(_upright(shallow(image), header.orientation), profile, background)


def check(data: bytes, header: ImageHeader) -> None:
    """Check that a whole image can be decoded.

    Args:
        data: the whole file.
        header: the result of `read_header` for the file.

    Raises:
        BrokenImageError: the file cannot be decoded, or has another size than the header.
    """
    with _loaded(data, header):
        pass


@contextmanager
def _loaded(data: bytes, header: ImageHeader, least: tuple[int, int] | None = None) -> Iterator[Image.Image]:
    side = header.orientation in ON_ITS_SIDE
    size = (header.width, header.height)
    with opened(data, header.extension) as image:
        if image.size != (size[::-1] if side else size):
            raise BrokenImageError(Refusal.DAMAGED, header.extension)
        if least is not None:
            image.draft(None, least[::-1] if side else least)
        image.load()  # decodes; only then does an animation show its first picture
        yield image


def shallow(image: Image.Image) -> Image.Image:
    """Keep the upper 8 of 16 bits of grey, as Pillow does with colours; Pillow itself would clip grey at 255."""
    from PIL import Image  # noqa: PLC0415 - copying images needs no Pillow

    if not image.mode.startswith("I;16"):
        return image
    deep = np.asarray(image)
    grey = Image.fromarray((deep >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8))))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror an image as EXIF's orientation asks (CIPA DC-008, 4.6.5)."""
    from PIL import Image  # noqa: PLC0415

    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _flat(image: Image.Image, profile: bytes | None, background: str | None) -> Image.Image:
    """Bring an image to sRGB, in RGB or RGBA, without metadata."""
    from PIL import Image  # noqa: PLC0415

    has_alpha = image.has_transparency_data
    if profile:
        image = _to_srgb(image, profile, has_alpha=has_alpha)
    image = image.convert("RGBA" if has_alpha else "RGB")
    if has_alpha and (background is not None or image.getchannel("A").getextrema() == (255, 255)):
        if background is not None:
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
        image = image.convert("RGB")
    image.info = {}
    return image


def _to_srgb(image: Image.Image, profile: bytes, *, has_alpha: bool) -> Image.Image:
    """Convert an image to sRGB by its colour profile; ignore a profile that is damaged or has other channels."""
    from PIL import ImageCms  # noqa: PLC0415 - few images have a profile

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "GRAY" and image.mode in ("1", "L", "LA", "La"):
            grey, alpha = image.convert("LA" if has_alpha else "L"), None
            if has_alpha:
                grey, alpha = grey.split()
            converted = _applied(grey, source, "RGB")
            if alpha is not None:
                converted.putalpha(alpha)
            return converted
        if space == "CMYK" and image.mode == "CMYK":
            return _applied(image, source, "RGB")
        if space == "RGB" and image.mode != "CMYK":
            mode = "RGBA" if has_alpha else "RGB"
            return _applied(image.convert(mode), source, mode)
    except (ImageCms.PyCMSError, OSError):
        pass
    return image


def _applied(image: Image.Image, source: Any, mode: str) -> Image.Image:
    from PIL import ImageCms  # noqa: PLC0415

    converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode=mode)
    assert converted is not None  # None is returned only with `inPlace`
    return converted


@lru_cache(1)
def _srgb() -> Any:
    from PIL import ImageCms  # noqa: PLC0415

    return ImageCms.createProfile("sRGB")
