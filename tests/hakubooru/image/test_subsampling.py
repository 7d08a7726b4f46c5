"""How finely colours are kept, by format and quality."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from hakubooru.image.convert import ImageFormat
from hakubooru.image.header import ImageHeader


def fringes(format, quality, **more):
    """By how much alternating columns of red and blue differ from their mean, from 0 to 1, after a conversion."""
    image = Image.new("RGB", (64, 64), (255, 0, 0))
    for column in range(0, 64, 2):
        image.paste((0, 0, 255), (column, 0, column + 1, 64))
    file = io.BytesIO()
    image.save(file, "png")
    header = ImageHeader("png", 64, 64)
    _, data = ImageFormat(format=format, quality=quality, **more).apply(header, file.getvalue())
    with Image.open(io.BytesIO(data)) as image:
        reds = [image.convert("RGB").getpixel((column, 32))[0] for column in range(16, 48)]
    return (sum(reds[1::2]) - sum(reds[::2])) / (16 * 255)


@pytest.mark.parametrize(
    ("format", "quality", "more"),
    [
        ("avif", 100, {}),
        ("jpeg", 100, {}),
        ("jpeg", 90, {}),
        ("png", 90, {}),
        ("webp", 90, {"lossless": True}),
    ],
)
def test_colours_keep_their_resolution(format, quality, more):
    assert fringes(format, quality, **more) > 0.9


@pytest.mark.parametrize(("format", "quality"), [("avif", 99), ("jpeg", 89), ("webp", 100)])
def test_colours_have_half_the_resolution(format, quality):
    assert fringes(format, quality) < 0.6
