"""The suffixes of image files, and every reason for which an image is refused.

All parts of the program use these, so that all of them accept the same files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

EXTENSIONS: Final = ("jpg", "png", "webp", "gif", "avif", "bmp", "tif")
"""The image formats that can be read, by the extension that exported files get."""

SUFFIXES: Final = (
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "avif", "avifs", "bmp", "dib", "tif", "tiff",
    "heic", "heif", "hif", "jxl", "jp2", "j2k", "jpx",
)  # fmt: skip
"""The suffixes of image names. HEIC, JPEG XL and JPEG 2000 cannot be read; they are counted, with the reason."""

UNREADABLE: Final = tuple(f".{suffix}" for suffix in SUFFIXES[SUFFIXES.index("heic") :])
"""The suffixes, with their dots, of formats that cannot be read."""

SUFFIX_PATTERN: Final = f"(?:{'|'.join(SUFFIXES)})"
"""Matches a suffix, in a regular expression that ignores case."""

MOST_PIXELS: Final = 2 * (1024**3 // 4 // 3)
"""The most pixels of an image; Pillow, and with it every trainer, refuses more as a decompression bomb."""


class Refusal(StrEnum):
    """The reasons why a file is refused; `{}` stands for its format."""

    EMPTY = "empty file"
    TRUNCATED = "truncated {}"
    DAMAGED = "damaged {}"
    NO_SIZE = "{} without width or height"
    TOO_MANY_PIXELS = f"more than {MOST_PIXELS:,} pixels"
    DEPTH = "a {} whose channels are not of 8 or 16 bits, or not grey, RGB, CMYK or YCbCr"
    HEIC = "a HEIC image, which is not taken"
    JPEG_XL = "a JPEG XL image, which is not taken"
    JPEG_2000 = "a JPEG 2000 image, which is not taken"
    PHOTOSHOP = "a Photoshop document, which is not taken"
    SVG = "an SVG drawing, which is not taken"
    LFS = "a git-lfs pointer, not the image"
    WEBM = "a video (webm), not an image"
    MP4 = "a video (mp4), not an image"
    ZIP = "a zip (ugoira), not an image"
    FLASH = "Flash, not an image"
    WEB_PAGE = "a web page, not an image"
    RIFF = "not an image (RIFF, but not webp)"
    OTHER = "not an image"


class BrokenImageError(Exception):
    """Raised for a file that is refused; the message is the reason, in a few words."""

    def __init__(self, refusal: Refusal, extension: str = "") -> None:
        super().__init__(refusal.format(extension))
