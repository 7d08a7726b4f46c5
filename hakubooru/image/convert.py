"""Converting images: copying them unchanged, or writing them in another format, smaller and without metadata."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from hakubooru.errors import InputError
from hakubooru.image.bucket import Buckets
from hakubooru.image.decode import check, decode
from hakubooru.image.header import ImageHeader
from hakubooru.image.pillow import opened
from hakubooru.settings import Bounds, read_section, toml
from hakubooru.settings import check as check_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS: Final = {"webp": "webp", "avif": "avif", "jpeg": "jpg", "png": "png"}
"""The formats that images can be converted to, and the extension of each."""

_QUALITY: Final = 90


class UnfitImageError(Exception):
    """Raised for a whole image that the format leaves out; the message is the reason, in a few words."""


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """The image format of a data set, a recipe's `[image]`: which images are exported, and how they are converted.

    By default images are copied unchanged. A converted image is never enlarged. It is upright as EXIF asks, in sRGB
    with 8 bits a channel, and has no metadata.

    Raises:
        InputError: a field has an invalid value; the message names the field.
    """

    format: Literal["webp", "avif", "jpeg", "png"] | None = None
    """The format to convert to: webp, avif, jpeg or png; without it, images are copied as they are."""
    quality: Annotated[int, Bounds(1, 100)] = _QUALITY
    """The quality of webp, avif and jpeg, 1 to 100; for a lossless webp, the effort to make it small; png has none.
    Colours have half the resolution of brightness (4:2:0), except in jpeg from 90 on and in avif at 100. A lossy webp
    always has 4:2:0."""
    lossless: bool = False
    """Write webp without loss: every pixel stays the same."""
    max_pixels: Annotated[int | None, Bounds(1)] = None
    """The most pixels of an image, width times height; larger images are scaled down."""
    max_side: Annotated[int | None, Bounds(1)] = None
    """The most pixels of the longer side; larger images are scaled down."""
    bucket: Annotated[int | None, Bounds(1)] = None
    """The area of the training buckets, in pixels; an image is scaled down until it just fills its bucket."""
    background: str | None = None
    """A colour to put behind transparency, such as "white" or "#ffffff"; without it transparency stays, and is white in jpeg.
    Programs that drop transparency, such as sd-scripts, show black in its place where an image was scaled down."""
    min_side: Annotated[int | None, Bounds(1)] = None
    """The fewest pixels of the shorter side; smaller images are left out."""
    max_ratio: Annotated[int | float | None, Bounds(1)] = None
    """The largest ratio of the longer side to the shorter; longer images are left out."""
    animated: Literal["first", "leave out"] = "first"
    """`first` takes the first picture of an animation when images are converted; `leave out` leaves animations out."""
    check: Literal["header", "decode"] = "header"
    """`header` reads the structure of copied images; `decode` decodes them too."""
    duplicates: Literal["keep", "drop"] = "keep"
    """`keep` exports images that are equal byte for byte, and counts them; `drop` leaves out all but one: your own
    image, or else the image of the lowest post id."""

    def __post_init__(self) -> None:
        check_fields(self, "image")
        if self.bucket is not None:
            _sizes(self.bucket)  # raises if there are no buckets of this area
        if self.lossless and self.format not in ("webp", "png"):
            raise InputError(f'image.lossless needs format = "webp", but image.format is {self.format!r}')
        if self.format is None and (self.max_pixels or self.max_side or self.bucket or self.background):
            raise InputError(
                'image.max_pixels, max_side, bucket and background need a format; add one, such as format = "webp"'
            )
        if self.format is None and self.quality != _QUALITY:
            raise InputError(
                f"image.quality = {self.quality} needs a format, because copies stay unchanged; "
                'add one, such as format = "webp", or leave quality out'
            )
        if self.background is not None:
            _colour(self.background)

    @cached_property
    def decodes(self) -> bool:
        """Whether this format decodes images."""
        return self.format is not None or self.check == "decode"

    def apply(self, header: ImageHeader, data: bytes) -> tuple[ImageHeader, bytes]:
        """Convert an image; return header and bytes of the exported file.

        Args:
            header: the result of `read_header` for the file.
            data: the whole file.

        Raises:
            UnfitImageError: the format leaves the image out.
            BrokenImageError: the image cannot be decoded.
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
        # A JPEG is decoded at twice the final size at least, so that resizing loses no detail.
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
        """Return the width and height, in pixels, that an image of some width and height is converted to."""
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
        # Round to the nearest pixel; round down if there is a limit of pixels.
        more = 0.5 if self.max_pixels is None else _EPSILON
        return max(1, math.floor(width * scale + more)), max(1, math.floor(height * scale + more))

    def _options(self) -> dict[str, Any]:
        if self.format == "png":
            return {}
        options: dict[str, Any] = {"quality": self.quality}
        if self.format == "webp" and self.lossless:
            options |= {"lossless": True, "exact": True}  # exact also keeps the colours of transparent pixels
        if self.format in ("jpeg", "avif"):
            # Pillow's buffer is too small for `optimize` where a jpeg has much detail (libjpeg: suspension not allowed).
            options["subsampling"] = self.subsampling
        return options

    @property
    def subsampling(self) -> str:
        """The resolution of colours in a jpeg or avif: 4:4:4 is that of brightness, 4:2:0 is half of it."""
        return "4:4:4" if self.quality >= (90 if self.format == "jpeg" else 100) else "4:2:0"


COPY: Final = ImageFormat()

_LONGEST: Final = {"webp": 16_383, "jpeg": 65_500, "avif": 65_536}
"""The most pixels of a side, by format (limits of libwebp, libjpeg, libavif)."""
_EPSILON: Final = 1e-9


def image_format(value: ImageFormat | Mapping[str, Any] | None) -> ImageFormat:
    """Return an `ImageFormat` from itself, from a table (a recipe's `[image]`), or from None: copy images.

    Raises:
        InputError: the table has an unknown key or an invalid value; the message names the key.
    """
    return COPY if value is None else read_section(ImageFormat, value, "image")


def _is_animated(header: ImageHeader, data: bytes) -> bool:
    # A jpeg with a preview, or a tif with several pages, has several pictures but is not an animation.
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
            f'image.background = {toml(name)}; write a colour, such as "white" or "#ffffff"'
        ) from None
