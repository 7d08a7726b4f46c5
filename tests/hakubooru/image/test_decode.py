"""Pixels and sizes of decoded images, beside values that are computed here or by hand."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from colours import profile, to_srgb
from hakubooru.image.decode import decode
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from pictures import picture

NOISE = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
UPRIGHT = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What brings the stored rows and columns upright, by EXIF's orientation."""


def bytes_of(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(data: bytes, **options) -> np.ndarray:
    header = read_header(data)
    image = decode(data, header, **options)
    assert image.size == (header.width, header.height)
    assert not image.info
    return np.asarray(image)


def colour(data: bytes, background="white") -> list[int]:
    pixels = decoded(data, background=background)
    assert (pixels == pixels[0, 0]).all()
    return pixels[0, 0].tolist()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks behind its header."""
    return data[:33] + b"".join(chunk(name, body) for name, body in chunks) + data[33:]


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "jpeg", "avif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_size_and_pixels_are_those_of_the_upright_picture(format, orientation):
    smooth = np.asarray(Image.fromarray(NOISE[:4, :6]).resize((60, 40)))
    exif = Image.Exif()
    exif[0x112] = orientation
    options = {"lossless": True} if format == "webp" else {} if format in ("png", "tiff") else {"quality": 95}
    data = bytes_of(Image.fromarray(smooth), format, exif=exif, **options)
    expected = UPRIGHT[orientation](smooth)
    pixels = decoded(data)
    assert pixels.shape == expected.shape
    exact = format in ("png", "webp", "tiff")
    assert np.abs(pixels.astype(int) - expected).max() <= (0 if exact else 12)
    stored_size = read_header(data).stored
    assert stored_size == ((60, 40) if orientation >= 5 and format != "tiff" else None)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    header = read_header(bytes_of(Image.fromarray(NOISE), "jpeg", exif=exif))
    assert (header.width, header.height, header.orientation) == (60, 40, 1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(1, "B"), (3, "H"), (4, "I")])
def test_exif_is_read_in_both_byte_orders_and_behind_the_pixels(order, kind, code):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(f"{order}{code}", 6).ljust(4, b"\0")
    exif = mark + struct.pack(f"{order}IHHHI", 8, 1, 0x112, kind, 1) + value + bytes(4)
    jpeg = bytes_of(Image.fromarray(NOISE), "jpeg")
    app = b"Exif\0\0" + exif
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(app) + 2) + app + jpeg[2:]
    assert (read_header(turned).width, read_header(turned).height) == (40, 60)
    png = bytes_of(Image.fromarray(NOISE), "png")
    turned = png[:-12] + chunk(b"eXIf", exif) + png[-12:]
    assert np.array_equal(decoded(turned), np.rot90(NOISE, -1))
    assert np.array_equal(decoded(png[:-12] + chunk(b"eXIf", exif[:17]) + png[-12:]), NOISE)


GREY16 = np.array([[0, 255, 256, 33_280, 65_535]] * 2, np.uint16)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bits_of_grey_keep_their_upper_8(format):
    pixels = decoded(bytes_of(Image.fromarray(GREY16), format))
    assert pixels[0].tolist() == [[v] * 3 for v in (0, 0, 1, 130, 255)]


def test_a_transparent_grey_of_16_bits_is_that_one_alone():
    pixels = decoded(bytes_of(Image.fromarray(GREY16), "png", transparency=255), background="white")
    assert pixels[0, :, 0].tolist() == [0, 255, 1, 130, 255]


def deep_png(kind: int, bands: int, values: list[int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one pixel with 16 bits a channel."""
    rows = zlib.compress(b"\0" + struct.pack(f">{bands}H", *values))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, kind, 0, 0, 0))
    more = b"".join(chunk(*fields) for fields in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_16_bits_of_colour_and_of_alpha():
    assert colour(deep_png(2, 3, [0x1234, 0x80FF, 0xFFFF])) == [0x12, 0x80, 0xFF]
    assert colour(deep_png(4, 2, [0x4000, 0])) == [255, 255, 255]
    assert colour(deep_png(6, 4, [0xFFFF, 0, 0, 0xFFFF])) == [255, 0, 0]
    # The transparent colour is another one of 16 bits, of which the upper 8 are the same.
    key = struct.pack(">3H", 0x12, 0x34, 0x56)
    assert colour(deep_png(2, 3, [0x1200, 0x3400, 0x5600], (b"tRNS", key))) == [0x12, 0x34, 0x56]


def indexed(format: str, **options) -> bytes:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([1, 2, 3, 200, 100, 50])
    return bytes_of(image, format, **options)


@pytest.mark.parametrize(
    ("data", "rgb"),
    [
        (bytes_of(Image.new("1", (8, 8), 1), "png"), [255] * 3),
        (bytes_of(Image.new("1", (8, 8), 0), "tiff"), [0] * 3),
        (bytes_of(Image.new("L", (8, 8), 77), "png"), [77] * 3),
        (bytes_of(Image.new("L", (8, 8), 77), "bmp"), [77] * 3),
        (bytes_of(Image.new("L", (8, 8), 77), "png", transparency=77), [255] * 3),
        (bytes_of(Image.new("L", (8, 8), 77), "png", transparency=78), [77] * 3),
        (bytes_of(Image.new("LA", (8, 8), (100, 51)), "png"), [224] * 3),  # a fifth of 100 on white
        (indexed("png"), [200, 100, 50]),
        (indexed("gif"), [200, 100, 50]),
        (indexed("bmp"), [200, 100, 50]),
        (indexed("tiff"), [200, 100, 50]),
        (indexed("png", transparency=1), [255] * 3),
        (indexed("png", transparency=b"\xff\x33"), [244, 224, 214]),
        (indexed("gif", transparency=1), [255] * 3),
        (bytes_of(Image.new("RGB", (8, 8), (9, 8, 7)), "png", transparency=(9, 8, 7)), [255] * 3),
        (bytes_of(Image.new("RGB", (8, 8), (9, 8, 7)), "bmp"), [9, 8, 7]),
        (bytes_of(Image.new("RGBA", (8, 8), (255, 0, 100, 51)), "png"), [255, 204, 224]),
        (bytes_of(Image.new("RGBA", (8, 8), (255, 0, 100, 51)), "tiff"), [255, 204, 224]),
        (bytes_of(Image.new("RGBA", (8, 8), (255, 0, 100, 51)), "webp", lossless=True), [255, 204, 224]),
        (bytes_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "jpeg", quality=100), [254, 0, 0]),
        (bytes_of(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tiff"), [255, 0, 0]),
        (bytes_of(Image.new("RGB", (8, 8), (0, 0, 255)), "tiff", compression="tiff_lzw"), [0, 0, 255]),
    ],
)
def test_every_kind_of_pixels_on_white(data, rgb):
    assert np.abs(np.subtract(colour(data), rgb)).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_a_known_white_are_refused_by_all(mode):
    data = bytes_of(Image.new(mode, (8, 8)), "tiff")
    with pytest.raises(BrokenImageError, match="a tif whose channels are not of 8 or 16 bits"):
        read_header(data)


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "jpeg", "avif"])
def test_colour_profiles_are_applied(format):
    green = Image.new("RGB", (16, 16), (0, 200, 80))
    options = (
        {"lossless": True} if format == "webp" else {"quality": 100} if format in ("jpeg", "avif") else {}
    )
    data = bytes_of(green, format, icc_profile=profile(), **options)
    assert to_srgb((0, 200, 80)) == [0, 204, 58]
    assert np.abs(np.subtract(colour(data), [0, 204, 58])).max() <= 3


def test_of_colours_with_alpha_and_of_palettes_too():
    clear = Image.new("RGBA", (8, 8), (0, 200, 80, 128))
    pixels = decoded(bytes_of(clear, "png", icc_profile=profile()))
    assert pixels[0, 0].tolist() == [0, 204, 58, 128]
    assert (
        np.abs(np.subtract(colour(indexed("png", icc_profile=profile())), to_srgb((200, 100, 50)))).max() <= 1
    )
    # Grey stays grey under a profile of colours with the same curve.
    assert colour(bytes_of(Image.new("L", (8, 8), 99), "png", icc_profile=profile())) == [99] * 3
    assert colour(bytes_of(Image.new("CMYK", (8, 8)), "tiff", icc_profile=profile())) == [255] * 3


@pytest.mark.parametrize(
    "more",
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 2_000_000)),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(b"x" * 2_000_000)),
        (b"tEXt", b"workflow\0" + b"x" * 2_000_000),
        (b"iCCP", b"display\0\0" + zlib.compress(bytes(1_600_000))),
        (b"iCCP", b"display\0\0no zlib"),
        (b"eXIf", b"x" * 2_000_000),
    ],
)
def test_texts_and_profiles_of_any_length_do_no_harm(more):
    data = with_chunks(bytes_of(Image.fromarray(NOISE), "png"), more)
    assert np.array_equal(decoded(data), NOISE)


def test_a_long_profile_is_applied():
    long = b"display\0\0" + zlib.compress(profile().ljust(1_500_000, b"\0"))
    data = with_chunks(bytes_of(Image.new("RGB", (8, 8), (0, 200, 80)), "png"), (b"iCCP", long))
    assert colour(data) == [0, 204, 58]


def test_a_gif_is_as_large_as_its_first_picture():
    data = bytearray(bytes_of(Image.new("L", (64, 48), 255), "gif"))
    data[6:10] = struct.pack("<HH", 32, 50)
    header = read_header(bytes(data))
    assert (header.width, header.height, header.stored) == (64, 50, (32, 50))
    assert decoded(bytes(data)).shape == (50, 64, 3)


def test_warnings_stay_as_they_are_while_threads_decode():
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x06\0\0\0\0\0\0\0"
    data = bytes_of(Image.fromarray(NOISE), "jpeg", exif=exif)
    filters = [*warnings.filters]
    with ThreadPoolExecutor(8) as threads:
        shapes = {image.shape for image in threads.map(decoded, [data] * 64)}
    assert shapes == {(40, 60, 3)}
    assert warnings.filters == filters


@given(st.sampled_from(["jpg", "png", "webp", "gif", "avif", "bmp", "tiff"]), st.data())
def test_damage_gives_an_image_of_the_size_of_its_header_or_a_reason(format, draw):
    data = bytearray(picture(3, format, (40, 30)))
    for _ in range(draw.draw(st.integers(1, 5))):
        data[draw.draw(st.integers(0, min(len(data), 400) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(BrokenImageError):
        decoded(bytes(data))
