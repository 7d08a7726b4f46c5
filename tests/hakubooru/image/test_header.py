from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from pictures import bomb, picture

FORMATS = ["jpg", "png", "webp", "gif", "avif"]


HEIC = [b"heic", b"heix", b"hevc", b"heim", b"heis"]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def ftyp(major: bytes, *others: bytes) -> bytes:
    """The first box of a file of such brands, and an empty one."""
    brands = major + bytes(4) + b"".join(others)
    return struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands + b"\0\0\0\x08meta"


def bytes_of(mode: str, format: str, size=(37, 21), **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (37, 21), (300, 1000)])
def test_size_and_format_are_read_from_the_bytes(format, size):
    header = read_header(picture(5, format, size))
    assert (header.extension, header.width, header.height) == (format, *size)


@pytest.mark.parametrize(
    "data",
    [
        bytes_of("RGB", "jpeg", progressive=True),
        bytes_of("L", "jpeg"),
        bytes_of("CMYK", "jpeg"),
        bytes_of("RGBA", "webp"),
        bytes_of("RGB", "webp", lossless=True),
        bytes_of("RGBA", "webp", lossless=True, exif=Image.Exif()),
        bytes_of("RGB", "webp", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
        bytes_of("RGB", "webp", save_all=True, append_images=[Image.new("RGB", (37, 21), "red")]),
        bytes_of("P", "png"),
        bytes_of("I;16", "png"),
        bytes_of("P", "gif", save_all=True, append_images=[Image.new("P", (37, 21), 1)]),
    ],
)
def test_every_kind_of_a_format_agrees_with_pillow(data):
    header = read_header(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (header.width, header.height) == image.size


@pytest.mark.parametrize("format", FORMATS)
def test_no_image_cut_short_passes_for_whole(format):
    data = picture(3, format, (40, 40))
    for length in range(len(data)):
        with pytest.raises(BrokenImageError):
            read_header(data[:length])


def test_a_jpg_is_cut_short_though_its_preview_has_an_end():
    preview = picture(1, "jpg", (8, 8))
    exif = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = picture(2, "jpg", (64, 64))
    data = whole[:2] + exif + whole[2:]
    assert read_header(data).width == 64
    with pytest.raises(BrokenImageError, match="truncated jpg"):
        read_header(data[:-20])


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_bytes_behind_the_end_do_no_harm(format):
    assert read_header(picture(1, format) + b"trailing").extension == format


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\xef\xbb\xbf\n <HTML>", "a web page"),
        (b"\0\0\0\x20ftypisom" + bytes(50), "a video \\(mp4\\)"),
        *[(ftyp(brand), "a HEIC image, which is not taken") for brand in HEIC],
        (ftyp(b"mif1", b"mif1", b"heic"), "a HEIC image"),
        (ftyp(b"msf1", *[b"miaf"] * 9, b"hevc"), "a HEIC image"),
        (ftyp(b"mif1", b"avif", b"heic"), "truncated avif"),
        (ftyp(b"mif1") + b"heic" * 9, "avif"),
        (ftyp(b"avif", b"heic"), "truncated avif"),
        (ftyp(b"isom", b"heic"), "a video \\(mp4\\)"),
        (b"\xff\xff\xff\xffftypmif1", "truncated avif"),
        (b"\xff\x0a" + bytes(50), "a JPEG XL image, which is not taken"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "a JPEG XL image, which is not taken"),
        (LFS, "a git-lfs pointer, not the image"),
        (b"version https://example.org/", "^not an image"),
        (b"\x1aE\xdf\xa3" + bytes(50), "a video \\(webm\\)"),
        (b"PK\x03\x04" + bytes(50), "ugoira"),
        (b"CWS\x0a" + bytes(50), "Flash"),
        (b"BM" + bytes(60), "not an image"),
        (bytes(1000), "not an image"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(50), "not webp"),
        (b"\xff\xd8\xff", "truncated jpg"),
        (bomb(), "178,956,970 pixels"),
        (bomb(0, 5), "without width or height"),
    ],
)
def test_what_is_no_whole_image_is_named(data, reason):
    with pytest.raises(BrokenImageError, match=reason):
        read_header(data)


@given(st.sampled_from(FORMATS), st.data())
def test_damage_gives_a_size_or_a_reason_and_nothing_else(format, draw):
    data = bytearray(picture(3, format, (40, 40)))
    for _ in range(draw.draw(st.integers(1, 5))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(BrokenImageError):
        assert read_header(bytes(data)).width > 0


def noisy_gif():
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "gif")
    return file.getvalue()


def test_a_gif_is_walked_to_its_end():
    data = noisy_gif()
    assert read_header(data).width == read_header(data + b"extra").width == 64
    for end in range(6, len(data)):
        with pytest.raises(BrokenImageError):
            read_header(data[:end])


def test_a_frame_of_a_gif_can_be_a_bomb():
    data = bytearray(noisy_gif())
    at = 13 + 3 * 256
    assert data[at : at + 1] == b","
    data[at + 5 : at + 9] = b"\x60\xea\x60\xea"  # 60,000 times 60,000
    with pytest.raises(BrokenImageError, match="pixels"):
        read_header(bytes(data))
