"""What becomes of an image on its way: copied as it is, or made anew in another format, smaller, without metadata."""

from __future__ import annotations

import io
import math
import struct
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import InputError
from hakubooru.image.bucket import Buckets
from hakubooru.image.header import MOST_PIXELS, BrokenImageError, ImageHeader
from hakubooru.tables import from_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

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


class UnfitImageError(BrokenImageError):
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
        if not self.decodes and self.animated == "first":
            self._check_shape(header.width, header.height)
            return header, data
        from PIL import Image  # noqa: PLC0415 - copies need none

        try:
            with warnings.catch_warnings():
                # The header was read: what Pillow would call a bomb did not come so far. Of odd metadata nothing is kept.
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(data)) as image:
                    return self._converted(header, data, image)
        except Image.DecompressionBombError as error:  # a frame larger than the header's size
            raise BrokenImageError(f"more than {MOST_PIXELS:,} pixels") from error
        except DAMAGES as error:
            raise BrokenImageError(f"damaged {header.extension}") from error

    def _converted(self, header: ImageHeader, data: bytes, image: Image.Image) -> tuple[ImageHeader, bytes]:
        # A jpeg can hold further pictures, such as a preview, and is none the less still.
        is_animated = header.extension != "jpg" and getattr(image, "is_animated", False)
        if self.animated == "leave out" and is_animated:
            raise UnfitImageError("animated")
        orientation = _orientation(image)
        size = image.size[::-1] if orientation in _ON_ITS_SIDE else image.size
        self._check_shape(*size)
        if self.format is None:
            if self.decodes:
                image.load()
            return header, data
        width, height = self.size(*size)
        longest = _LONGEST.get(self.format)
        if longest is not None and max(width, height) > longest:
            raise UnfitImageError(f"a side above {longest:,} pixels, more than {self.format} can have")
        # A jpeg can be decoded at a half, a quarter or an eighth of its size; twice what is wanted loses nothing.
        least = (2 * width, 2 * height)
        image.draft(None, least[::-1] if orientation in _ON_ITS_SIDE else least)
        upright = _flat(image, orientation, self.background or ("white" if self.format == "jpeg" else None))
        if upright.size != (width, height):
            upright = upright.resize((width, height), _lanczos())
        file = io.BytesIO()
        upright.save(file, self.format, **self._options())
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

_ORIENTATION: Final = 0x0112
_ON_ITS_SIDE: Final = (5, 6, 7, 8)
_LONGEST: Final = {"webp": 16_383, "jpeg": 65_500, "avif": 65_536}
"""Pixels of a side at the most, by format (libwebp, libjpeg, libavif)."""
DAMAGES: Final = (
    OSError,  # and Pillow's UnidentifiedImageError
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    EOFError,
    LookupError,
    ArithmeticError,
    struct.error,
)
"""What Pillow raises over bytes that are not as they should be."""
_EPSILON: Final = 1e-9


def image_format(value: ImageFormat | Mapping[str, Any] | None) -> ImageFormat:
    """A format as it is, or from a table (a recipe's `[image]`); None copies.

    Raises:
        InputError: it is no such table; the message names the key.
    """
    return from_table(ImageFormat, value, "image")


def _orientation(image: Image.Image) -> int:
    """As EXIF has it, 1 to 8; 1, upright, where it says nothing that can be."""
    found = image.getexif().get(_ORIENTATION)
    return found if type(found) is int and 1 <= found <= 8 else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned and mirrored as EXIF's orientation asks (CIPA DC-008, 4.6.5); Pillow's own way writes EXIF anew, and fails where that is odd."""
    from PIL import Image  # noqa: PLC0415 - copies need none

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


def _flat(image: Image.Image, orientation: int, background: str | None) -> Image.Image:
    """Upright, sRGB, 8 bits a channel, RGB or RGBA, without metadata."""
    from PIL import Image  # noqa: PLC0415 - copies need none

    profile = image.info.get("icc_profile")
    image.load()  # an animation's first picture is one only then
    image = _upright(image, orientation)
    if image.mode.startswith("I"):
        # 16 bits of grey: Pillow would cut them off at 255.
        image = image.point(lambda value: value / 256).convert("L")
        image.info.pop("transparency", None)  # one grey of 65,536, which would be taken for one of 256
    has_alpha = image.has_transparency_data
    if profile:
        image = _to_srgb(image, profile, has_alpha=has_alpha)
    image = image.convert("RGBA" if has_alpha else "RGB")
    if has_alpha and (background is not None or image.getchannel("A").getextrema() == (255, 255)):
        if background is not None:
            under = Image.new("RGBA", image.size, background)
            image = Image.alpha_composite(under, image)
        image = image.convert("RGB")
    image.info = {}
    return image


def _to_srgb(image: Image.Image, profile: bytes, *, has_alpha: bool) -> Image.Image:
    from PIL import ImageCms  # noqa: PLC0415 - few images have a profile

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if has_alpha and image.mode in ("L", "LA") and source.profile.xcolor_space == "GRAY":
            return _grey_to_srgb(image, source)
        if image.mode == "P" or has_alpha:
            image = image.convert("RGBA" if has_alpha else "RGB")
        mode = "RGBA" if has_alpha else "RGB"
        converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return image  # a profile that is damaged, or of other channels, is worth nothing
    return image if converted is None else converted


def _grey_to_srgb(image: Image.Image, source: Any) -> Image.Image:
    """By a profile of grey alone, which says nothing of alpha, and has no place for red, green and blue."""
    from PIL import ImageCms  # noqa: PLC0415 - few images have a profile

    grey, alpha = image.convert("LA").split()
    converted = ImageCms.profileToProfile(grey, source, _srgb(), outputMode="RGB")
    if converted is None:
        return image
    converted.putalpha(alpha)
    return converted


@lru_cache(1)
def _srgb() -> Any:
    from PIL import ImageCms  # noqa: PLC0415

    return ImageCms.createProfile("sRGB")


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
