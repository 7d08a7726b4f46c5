"""How EXIF says that a picture is turned."""

from __future__ import annotations

import struct
from typing import Final

ON_ITS_SIDE: Final = (5, 6, 7, 8)
"""Orientations by which width and height change places."""

_TAG: Final = 0x0112
_FORMATS: Final = {1: "B", 3: "H", 4: "I"}
"""Types of numbers, by their code in TIFF: a byte, 16 bits, 32 bits."""


def orientation(exif: bytes) -> int:
    """Read the orientation from an EXIF block: 1 to 8; 1, upright, where it says nothing valid (CIPA DC-008, 4.6.5).

    Args:
        exif: a TIFF structure, with or without `Exif` and two zeros before it.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, at)
        for place in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", exif, place)
            if tag == _TAG and kind in _FORMATS and count == 1:
                (value,) = struct.unpack_from(f"{order}{_FORMATS[kind]}", exif, place + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut off
        pass
    return 1
