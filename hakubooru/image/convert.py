"""What becomes of an image on its way: copied as it is, or made anew in another format, smaller, without metadata."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import InputError
from hakubooru.image.bucket import Buckets
from hakubooru.image.decode import check, decode
from hakubooru.image.header import ImageHeader
from hakubooru.image.pillow import opened
from hakubooru.tables import from_table

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS: Final = {"webp": "webp", "avif": "avif", "jpeg": "jpg", "png": "png"}
"""What images can be converted to, and the extension of each."""

_CHOICES: Final = {
    "format": (None, *FORMATS),
    "animated": ("first", "leave out"),
    "check": ("header", "decode"),
    "duplicates": ("keep", "drop"),
}
_QUALITY: Final = 90
_COUNTS: Final = ("max_pixels", "max_side", "bucket", "min_side")


class UnfitImageError(Exception):
    """A whole image that the format leaves out; the message is the reason, in a few words."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """A recipe's `[image]`: which images are taken, and what is made of them. By default they are copied untouched.

    What is converted is never enlarged, stands upright (EXIF), is in sRGB with 8 bits a channel, and has no metadata.

    Raises:
        InputError: a field does not have one of the values that it can have; the message names it.
    """

    format: str | None = None
    """webp, avif, jpeg or png; None copies."""
    quality: int = _QUALITY
    """1 to 100, for webp, avif and jpeg; of a lossless webp, the pains taken to make it small. png has none.
    Colours have half the resolution of brightness (4:2:0), except in jpeg from 90 on and in avif at 100; a lossy webp can
    have no other."""
    lossless: bool = False
    """For webp: every pixel stays as it is."""
    max_pixels: int | None = None
    """Pixels at the most: width times height."""
    max_side: int | None = None
    """Pixels of the longer side at the most."""
    bucket: int | None = None
    """The area of the training buckets, in pixels: an image becomes as small as its bucket can be filled with."""
    background: str | None = None
    """A colour, such as "white" or "#ffffff", that transparency is laid onto; None keeps it. jpeg: white."""
    min_side: int | None = None
    """Images whose shorter side has fewer pixels are left out."""
    max_ratio: float | None = None
    """Images whose longer side is more times the shorter are left out."""
    animated: str = "first"
    """Of animations: `first` takes the first picture where images are converted, `leave out` leaves them out."""
    check: str = "header"
    """`decode` decodes images that are copied, too."""
    duplicates: str = "keep"
    """Of images that are the same byte for byte, as exported: `keep` counts them, `drop` leaves out all but the first:
    one of your own, or else that of the lowest post id."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                known = ", ".join(filter(None, choices))
                raise InputError(f"[image] {name} = {getattr(self, name)!r}; it can be {known}")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"[image] {name} = {value!r}; it is a whole number above 0")
        if type(self.quality) is not int or not 1 <= self.quality <= 100:
            raise InputError(f"[image] quality = {self.quality!r}; it is a whole number from 1 to 100")
        self._check_types()
        if self.lossless and self.format not in ("webp", "png"):
            raise InputError(f'[image] lossless goes with format = "webp", and it is {self.format!r}')
        if self.format is None and (self.max_pixels or self.max_side or self.bucket or self.background):
            raise InputError(
                '[image] has max_pixels, max_side, bucket or background, but no format; name one, such as format = "webp"'
            )
        if self.format is None and self.quality != _QUALITY:
            raise InputError(
                f"[image] quality = {self.quality}, but no format, and copies stay as they are; "
                'name one, such as format = "webp", or leave quality out'
            )
        if self.background is not None:
            _colour(self.background)

    def _check_types(self) -> None:
        if type(self.lossless) is not bool:
            raise InputError(f"[image] lossless = {self.lossless!r}; it is true or false")
        if self.bucket is not None:
            _sizes(self.bucket)  # an area that no buckets can have is told here
        if self.max_ratio is not None and (
            type(self.max_ratio) not in (int, float) or not self.max_ratio >= 1
        ):
            raise InputError(f"[image] max_ratio = {self.max_ratio!r}; it is a number of at least 1")

    @property
    def decodes(self) -> bool:
        """Whether images are decoded at all."""
        return self.format is not None or self.check == "decode"

    def apply(self, header: ImageHeader, data: bytes) -> tuple[ImageHeader, bytes]:
        """The image as it is to be written.

        Raises:
            UnfitImageError: it is one to leave out.
            BrokenImageError: it does not decode.
        """
        self._check_shape(header.width, header.height)
        if self.animated == "leave out" and _is_animated(header, data):
            raise UnfitImageError("animated")
        if self.format is None:
            if self.decodes:
                check(data, header)
            return header, data
        width, height = self.size(header.width, header.height)
        longest = _LONGEST.get(self.format)
        if longest is not None and max(width, height) > longest:
            raise UnfitImageError(f"a side above {longest:,} pixels, more than {self.format} can have")
        # Twice what is wanted loses nothing.
        background = self.background or ("white" if self.format == "jpeg" else None)
        image = decode(data, header, background=background, least=(2 * width, 2 * height))
        if image.size != (width, height):
            image = image.resize((width, height), _lanczos())
        file = io.BytesIO()
        image.save(file, self.format, **self._options())
        return ImageHeader(FORMATS[self.format], width, height), file.getvalue()

    def _check_shape(self, width: int, height: int) -> None:
        short, long = sorted((width, height))
        if self.min_side is not None and short < self.min_side:
            raise UnfitImageError(f"a side below {self.min_side} pixels")
        if self.max_ratio is not None and long > self.max_ratio * short:
            raise UnfitImageError(f"a side more than {self.max_ratio:g} times the other")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The width and height, in pixels, that an image of these becomes."""
        scale = 1.0
        if self.max_pixels is not None:
            scale = min(scale, math.sqrt(self.max_pixels / (width * height)))
        if self.max_side is not None:
            scale = min(scale, self.max_side / max(width, height))
        if self.bucket is not None:
            fit = _bucket(self.bucket, width, height)
            scale = min(scale, max(fit[0] / width, fit[1] / height))
        if scale >= 1:
            return width, height
        # To the nearest pixel, unless that could be one too many.
        more = 0.5 if self.max_pixels is None else _EPSILON
        return max(1, math.floor(width * scale + more)), max(1, math.floor(height * scale + more))

    def _options(self) -> dict[str, Any]:
        if self.format == "png":
            return {}
        options: dict[str, Any] = {"quality": self.quality}
        if self.format == "webp" and self.lossless:
            options |= {"lossless": True, "exact": True}  # also what is transparent
        if self.format in ("jpeg", "avif"):
            # Pillow's buffer is too small for `optimize` where a jpeg has much detail (libjpeg: suspension not allowed).
            options["subsampling"] = self.subsampling
        return options

    @property
    def subsampling(self) -> str:
        """The resolution of colours in a jpeg or avif: that of brightness, 4:4:4, or half of it, 4:2:0."""
        return "4:4:4" if self.quality >= (90 if self.format == "jpeg" else 100) else "4:2:0"


COPY: Final = ImageFormat()

_LONGEST: Final = {"webp": 16_383, "jpeg": 65_500, "avif": 65_536}
"""Pixels of a side at the most, by format (libwebp, libjpeg, libavif)."""
_EPSILON: Final = 1e-9


def image_format(value: ImageFormat | Mapping[str, Any] | None) -> ImageFormat:
    """A format as it is, or from a table (a recipe's `[image]`); None copies.

    Raises:
        InputError: it is no such table; the message names the key.
    """
    return from_table(ImageFormat, value, "image")


def _is_animated(header: ImageHeader, data: bytes) -> bool:
    # A jpeg can hold further pictures, such as a preview, and a tif further pages, and is none the less still.
    if header.extension in ("jpg", "tif"):
        return False
    with opened(data, header.extension) as image:
        return bool(getattr(image, "is_animated", False))


@lru_cache(4)
def _sizes(area: int) -> tuple[Buckets, Any]:
    buckets = Buckets(area=area)
    return buckets, buckets.sizes()


def _bucket(area: int, width: int, height: int) -> tuple[int, int]:
    buckets, sizes = _sizes(area)
    fit = sizes[int(buckets.of([width], [height])[0])]
    return int(fit[0]), int(fit[1])


def _lanczos() -> Any:
    from PIL import Image  # noqa: PLC0415

    return Image.Resampling.LANCZOS


def _colour(name: str) -> None:
    from PIL import ImageColor  # noqa: PLC0415

    try:
        ImageColor.getrgb(name)
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            f'[image] background = {name!r}; it is a colour, such as "white" or "#ffffff"'
        ) from None
