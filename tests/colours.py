"""Colour profiles for tests, and what they make of colours, by the formulas of IEC 61966-2-1 and ICC.1."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ImageCms

SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
"""From linear sRGB to XYZ at D50, as in the profile that Hewlett-Packard published."""
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
"""From linear Display P3."""


def profile(matrix=P3) -> bytes:
    """A profile with sRGB's curve and other primaries."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    for place in range(132, 132 + 12 * count, 12):
        tag, offset, _ = struct.unpack_from(">4sII", data, place)
        if tag in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = matrix[:, b"rgb".index(tag[:1])]
            struct.pack_into(">3i", data, offset + 8, *(round(value * 65_536) for value in column))
    return bytes(data)


def to_srgb(colour, matrix=P3) -> list[int]:
    """What an 8-bit colour with these primaries is in sRGB."""
    value = np.asarray(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    other = np.clip(np.linalg.inv(SRGB) @ matrix @ linear, 0, 1)
    encoded = np.where(other <= 0.0031308, other * 12.92, 1.055 * other ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(int).tolist()
