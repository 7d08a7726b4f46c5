"""What one part of the program takes as an image, all take; what one refuses, all refuse for the same reason."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hakubooru.image.convert import ImageFormat
from hakubooru.image.folders import images_in
from hakubooru.image.header import read_header
from hakubooru.image.kinds import EXTENSIONS, SUFFIXES, BrokenImageError
from hakubooru.image.layouts import post_id
from hakubooru_trainer.data.images import UnusableImageError, pixels
from hakubooru_trainer.data.look import IMAGES
from pictures import bomb, picture

HEIC = b"\0\0\0\x18ftypheic" + bytes(40)
REFUSED = {
    "a HEIC image, which is not taken": HEIC,
    "a JPEG XL image, which is not taken": b"\xff\x0a" + bytes(50),
    "a JPEG 2000 image, which is not taken": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50),
    "truncated png": picture(1, "png")[:-20],
    "more than 178,956,970 pixels": bomb(),
    "not an image": b"BM" + bytes(60),
    "a Photoshop document, which is not taken": b"8BPS" + bytes(60),
    "an SVG drawing, which is not taken": b'<?xml version="1.0"?><svg width="9" height="9"/>',
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_every_suffix_is_known_everywhere(tmp_path, suffix, change):
    name = f"12.{change(suffix)}"
    (tmp_path / name).touch()
    assert post_id(name) == 12
    assert images_in(str(tmp_path)) == [name]
    assert f".{suffix}" in IMAGES


@pytest.mark.parametrize("format", ["bmp", "tiff"])
@pytest.mark.parametrize("size", [(1, 1), (13, 7)])
def test_bmp_and_tiff_are_read_whole_or_not_at_all(format, size):
    data = picture(5, format, size)
    header = read_header(data)
    assert (header.extension in EXTENSIONS, header.width, header.height) == (True, *size)
    for end in range(2, len(data) - 3):  # the last row of a BMP is filled up to four bytes
        with pytest.raises(BrokenImageError):
            read_header(data[:end])


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "jpeg"])
def test_compressed_tiffs_are_read(compression):
    file = io.BytesIO()
    mode = "1" if compression == "group4" else "RGB"
    Image.new(mode, (30, 20)).save(file, "tiff", compression=compression)
    assert read_header(file.getvalue()).height == 20
    with pytest.raises(BrokenImageError):
        read_header(file.getvalue()[:-30])


@pytest.mark.parametrize(("reason", "data"), REFUSED.items())
def test_all_refuse_for_one_reason(reason, data):
    with pytest.raises(BrokenImageError) as caught:
        read_header(data)
    assert str(caught.value) == reason
    with pytest.raises(UnusableImageError) as caught:
        pixels("x.png", data, 9, 9, (9, 9))
    assert str(caught.value) == f"x.png cannot be read ({reason})"


def turned(exif_orientation: int) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x112] = exif_orientation
    noise = np.random.default_rng(3).integers(0, 256, (5, 8, 3), np.uint8)
    Image.fromarray(noise).resize((48, 30)).save(file, "jpeg", quality=95, exif=exif)
    return file.getvalue()


def deep() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70).save(file, "png")
    return file.getvalue()


def large_frame() -> bytes:
    data = bytearray(picture(9, "gif", (40, 40)))
    data[6:10] = struct.pack("<HH", 20, 20)
    return bytes(data)


@pytest.mark.parametrize(
    "data", [turned(6), turned(3), deep(), large_frame(), picture(7, "webp"), picture(7, "bmp")]
)
def test_a_copy_and_a_conversion_train_alike(data):
    original = read_header(data)
    header, other = ImageFormat(format="png").apply(original, data)
    assert (header.width, header.height) == (original.width, original.height)
    size = (original.width, original.height)
    arrays = [pixels("x", some, *size, (32, 32)) for some in (data, other)]
    assert np.array_equal(*arrays)
