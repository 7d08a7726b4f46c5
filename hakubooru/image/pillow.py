"""Opening image files with Pillow in one way, whatever other code has set up in Pillow, and in any thread."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from hakubooru.image.kinds import BrokenImageError, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

_FORMATS: Final = {
    "jpg": ("JPEG", "MPO"), "png": ("PNG",), "webp": ("WEBP",), "gif": ("GIF",), "bmp": ("BMP",), "tif": ("TIFF",),
}  # fmt: skip
_MODES: Final = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16L", "I;16B", "I;16N"}
)  # fmt: skip
"""Pillow's modes in which the values of black and white are defined."""

_DAMAGES: Final = (
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
"""The exceptions that Pillow raises for damaged files."""

_LARGEST_PROFILE: Final = 16 * 2**20
"""The most bytes of a colour profile, unpacked; profiles of printing presses have two million."""
_PASSED_OVER: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"})
"""Chunks of a PNG that are hidden from Pillow: it refuses the whole image if one unpacks to more than 1 MiB."""


@contextmanager
def opened(data: bytes, extension: str) -> Iterator[Image.Image]:
    """Open an image file without decoding it; errors of Pillow in the `with` block become `BrokenImageError`.

    Args:
        data: the whole file.
        extension: the file's format, one of `EXTENSIONS`.

    Raises:
        BrokenImageError: the file is damaged, or its mode does not define black and white.
    """
    from PIL import Image  # noqa: PLC0415 - copying images needs no Pillow

    profile = None
    if extension == "png":
        data, profile = _bare_png(data)
    try:
        # Pillow's warnings say nothing new: `read_header` refuses too many pixels, and metadata is not kept.
        with _QUIET, _open(io.BytesIO(data), extension) as image:
            if image.mode not in _MODES:
                raise BrokenImageError(Refusal.DEPTH, extension)
            if profile is not None:
                image.info["icc_profile"] = profile
            yield image
    except Image.DecompressionBombError:  # the picture is larger than its header says
        raise BrokenImageError(Refusal.TOO_MANY_PIXELS) from None
    except _DAMAGES as error:
        raise BrokenImageError(Refusal.DAMAGED, extension) from error


def _open(file: io.BytesIO, extension: str) -> Image.Image:
    from PIL import Image  # noqa: PLC0415

    if extension == "avif":
        return _avif(file)
    return Image.open(file, formats=_FORMATS[extension])


def _avif(file: io.BytesIO) -> Image.Image:
    """Open an AVIF with Pillow's own reader, or with the plugin's if Pillow was built without one.

    Both register under one name, and the last one imported wins. So the reader is called directly.
    """
    from PIL import AvifImagePlugin as builtin  # noqa: N813, PLC0415

    if builtin.SUPPORTED:
        return builtin.AvifImageFile(file)
    from pillow_avif import AvifImagePlugin as plugin  # noqa: N813, PLC0415

    image: Image.Image = plugin.AvifImageFile(file)
    return image


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks of a whole PNG, from IHDR to IEND: name, start and end of the content."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, at + 8 + length
        at += 12 + length


def _bare_png(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without its texts and colour profile, and the profile."""
    parts = [data[:8]]
    profile = None
    # Pillow reduces such pixels to 8 bits a channel, but would compare them with a transparent colour of 16 bits.
    is_deep = data[24:26] == b"\x10\2"
    for name, start, end in _png_chunks(data):
        if name == b"iCCP" and profile is None:
            profile = _profile(data[start:end])
        if name not in _PASSED_OVER and not (is_deep and name == b"tRNS"):
            parts.append(data[start - 8 : end + 4])
    return b"".join(parts), profile


def _profile(chunk: bytes) -> bytes | None:
    """Return the colour profile in an iCCP chunk: name, zero, compression method, compressed data (PNG, 11.3.2.3)."""
    _, _, packed = chunk.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(packed[1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if unpacking.eof else None


class _Quiet:
    """Silences Pillow's warnings while any thread is in the block; Python's filters belong to all threads together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.close()


_QUIET: Final = _Quiet()
