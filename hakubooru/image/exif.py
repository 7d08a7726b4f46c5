"""Reading the orientation of a picture from EXIF."""

from __future__ import annotations

import struct
from typing import Final, Literal

ON_ITS_SIDE: Final = (5, 6, 7, 8)
"""The orientations that swap width and height."""

_TAG: Final = 0x0112
_BYTES: Final = {1: 1, 3: 2, 4: 4}
"""Bytes of a whole number, by the code of its type in TIFF."""
_ENTRIES: Final[dict[bytes, tuple[Literal["little", "big"], struct.Struct]]] = {
    b"II*\0": ("little", struct.Struct("<HHI4s")),
    b"MM\0*": ("big", struct.Struct(">HHI4s")),
}
"""Byte order and entry format of a directory, by the mark at its start; an entry is tag, type, count and value."""


def orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8 (CIPA DC-008, 4.6.5); 1, upright, if it has no valid one.

    Args:
        exif: a TIFF structure, with or without `Exif` and two zeros before it.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] not in _ENTRIES:
        return 1
    order, entries = _ENTRIES[exif[:4]]
    at = int.from_bytes(exif[4:8], order) + 2
    end = at + int.from_bytes(exif[at - 2 : at], order) * entries.size
    length = len(exif[at:end]) // entries.size * entries.size  # the block may be cut off within an entry
    for tag, kind, count, value in entries.iter_unpack(exif[at : at + length]):
        if tag == _TAG and kind in _BYTES and count == 1:
            turn = int.from_bytes(value[: _BYTES[kind]], order)
            return turn if 1 <= turn <= 8 else 1
    return 1
