"""What image bytes are, how large, and whether they are whole: read from their structure, without decoding.

Pillow takes 0.7 ms to open a webp; an export looks at thousands of images a second.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    _Measure = Callable[[bytes], tuple[int, int]]

EXTENSIONS: Final = ("jpg", "png", "webp", "gif", "avif")
"""The image formats that are recognised, by the extension that their files get."""

LARGEST_BYTES: Final = 256 * 2**20
"""No image is read that is said to be larger, in bytes: several times what Danbooru takes."""

MOST_PIXELS: Final = 2 * (1024**3 // 4 // 3)
"""Above this Pillow takes an image for a decompression bomb and refuses it, and every trainer with it."""


class BrokenImageError(Exception):
    """Bytes that are not a whole image; the message is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the structure of an image file says."""

    extension: str
    """One of `EXTENSIONS`, from the bytes and not from any name."""
    width: int
    """Pixels, as stored: an orientation in EXIF is not applied."""
    height: int


def read_header(data: bytes) -> ImageHeader:
    """Recognise an image by its signature, check that its end is there, and read its size.

    Args:
        data: the whole file.

    Raises:
        BrokenImageError: it is no image, not a whole one, or declares an impossible size.
    """
    extension, measure = _format(data)
    try:
        width, height = measure(data)
    except (struct.error, IndexError):
        raise BrokenImageError(f"truncated {extension}") from None
    if width < 1 or height < 1:
        raise BrokenImageError(f"{extension} without width or height")
    if width * height > MOST_PIXELS:
        raise BrokenImageError(f"more than {MOST_PIXELS:,} pixels")
    return ImageHeader(extension, width, height)


def _format(data: bytes) -> tuple[str, _Measure]:
    for signature, extension, measure in _FORMATS:
        if data.startswith(signature):
            return extension, measure
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis", b"mif1", b"msf1") and not _is_heic(data):
        return "avif", _avif
    raise BrokenImageError(_what_else(data))


def _is_heic(data: bytes) -> bool:
    """By the brands in the first box, `ftyp`: the major one, or, where that is HEIC's and AVIF's alike, the others."""
    major = data[8:12]
    if major not in (b"mif1", b"msf1"):
        return major in _HEIC
    end = min(int.from_bytes(data[:4], "big"), _LONGEST_BRANDS)
    brands = {data[at : at + 4] for at in range(16, end, 4)}
    return not _HEIC.isdisjoint(brands) and brands.isdisjoint((b"avif", b"avis"))


def _jpeg(data: bytes) -> tuple[int, int]:
    """Sizes stand in the frame header (SOF); entropy-coded data cannot hold an end marker (ITU T.81, B.1.1.5)."""
    at = 2
    size = None
    while True:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:  # stray and fill bytes, which libjpeg skips too
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = width, height
        at += 2 + length
        if marker == 0xDA:
            break
    # A preview inside EXIF has an end marker too, so only what follows the start of the scan counts.
    if not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9", at) < 0:
        raise BrokenImageError("truncated jpg")
    if at > len(data) or size is None:
        raise BrokenImageError("damaged jpg")
    return size


def _png(data: bytes) -> tuple[int, int]:
    """Chunks of length, name, content and CRC, from IHDR to IEND."""
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    if name != b"IHDR" or length != 13:
        raise BrokenImageError("damaged png")
    at = 8
    while name != b"IEND":
        at += 12 + length
        length, name = struct.unpack_from(">I4s", data, at)
    if at + 12 > len(data):
        raise BrokenImageError("truncated png")
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    """A RIFF file; a simple one is a single chunk, an extended one (VP8X) names its canvas first."""
    (declared,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise BrokenImageError("not an image (RIFF, but not webp)")
    if declared + 8 > len(data):
        raise BrokenImageError("truncated webp")
    chunk = data[12:16]
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        _find_webp_picture(data, declared + 8)
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    raise BrokenImageError("damaged webp")


def _find_webp_picture(data: bytes, end: int) -> None:
    at = 12
    while at + 8 <= end:
        name = data[at : at + 4]
        (length,) = struct.unpack_from("<I", data, at + 4)
        if name in (b"VP8 ", b"VP8L", b"ANMF"):
            if at + 8 + length > end:
                raise BrokenImageError("truncated webp")
            return
        at += 8 + length + length % 2
    raise BrokenImageError("damaged webp")


def _gif(data: bytes) -> tuple[int, int]:
    """The screen's size stands in front; blocks of bytes follow, up to a semicolon (GIF89a, 12 to 27)."""
    width, height = struct.unpack_from("<HH", data, 6)
    at = 13 + _gif_colours(data[10])
    pictures = 0
    while data[at] != ord(";"):
        if data[at] == ord(","):
            pictures += 1
            _, _, *size, flags = struct.unpack_from("<HHHHB", data, at + 1)
            # Pillow makes the picture as large as its frames.
            if size[0] * size[1] > MOST_PIXELS:
                raise BrokenImageError(f"more than {MOST_PIXELS:,} pixels")
            at += 11 + _gif_colours(flags)
        elif data[at] == ord("!"):
            at += 2
        else:
            raise BrokenImageError("damaged gif")
        while data[at]:
            at += 1 + data[at]
        at += 1
    if not pictures:
        raise BrokenImageError("damaged gif")
    return width, height


def _gif_colours(flags: int) -> int:
    """Bytes of a table of colours, where there is one."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _avif(data: bytes) -> tuple[int, int]:
    """Boxes of length and name up to the end of the file; Pillow reads the size, by way of libavif."""
    at = 0
    names: set[bytes] = set()
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        names.add(name)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        elif length == 0:  # to the end of the file
            length = len(data) - at
        if length < 8 or at + length > len(data):
            raise BrokenImageError("truncated avif")
        at += length
    # The picture lies in a box of its own, or, a small one, within the description of the file.
    if b"meta" not in names or not (b"mdat" in names or b"idat" in data):
        raise BrokenImageError("truncated avif")
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only avif needs it

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Image.DecompressionBombError:
        raise BrokenImageError(f"more than {MOST_PIXELS:,} pixels") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, RuntimeError):
        raise BrokenImageError("damaged avif") from None


_FORMATS: Final[tuple[tuple[bytes, str, _Measure], ...]] = (
    (b"RIFF", "webp", _webp),
    (b"\xff\xd8\xff", "jpg", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "png", _png),
    (b"GIF87a", "gif", _gif),
    (b"GIF89a", "gif", _gif),
)

_HEIC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_LONGEST_BRANDS: Final = 256
"""Bytes of a file that are looked at for brands; some have a dozen of four."""

_OTHERS: Final = (
    (b"\xff\x0a", "a JPEG XL image, which is not taken"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image, which is not taken"),
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the image"),
    (b"\x1aE\xdf\xa3", "a video (webm), not an image"),
    (b"PK\x03\x04", "a zip (ugoira), not an image"),
    (b"FWS", "Flash, not an image"),
    (b"CWS", "Flash, not an image"),
    (b"ZWS", "Flash, not an image"),
)


def _what_else(data: bytes) -> str:
    if not data:
        return "empty file"
    for signature, reason in _OTHERS:
        if data.startswith(signature):
            return reason
    if data[4:8] == b"ftyp":
        return "a HEIC image, which is not taken" if _is_heic(data) else "a video (mp4), not an image"
    if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not an image"
    return "not an image"
