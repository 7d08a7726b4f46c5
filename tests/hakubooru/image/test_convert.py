from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from hakubooru.errors import InputError
from hakubooru.image.convert import ImageFormat, UnfitImageError, image_format
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from pictures import picture

RED = (250, 10, 20)


def bytes_of(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def converted(data: bytes, **fields) -> Image.Image:
    header, result = ImageFormat(**fields).apply(read_header(data), data)
    assert read_header(result) == header
    image = Image.open(io.BytesIO(result))
    assert image.size == (header.width, header.height)
    image.load()
    return image


def near(image: Image.Image, colour, at=(0.5, 0.5), by=12) -> bool:
    pixel = image.getpixel((int(at[0] * image.width), int(at[1] * image.height)))
    return all(abs(one - other) <= by for one, other in zip(pixel, colour, strict=True))


def test_a_copy_is_untouched():
    data = picture(3)
    assert ImageFormat().apply(read_header(data), data) == (read_header(data), data)


@pytest.mark.parametrize("format", ["webp", "avif", "jpeg", "png"])
def test_each_format_is_written_as_itself(format):
    image = converted(bytes_of(Image.new("RGB", (64, 48), RED), "png"), format=format)
    assert image.format.lower() == format
    assert near(image, RED)


def test_lossless_keeps_every_pixel():
    pixels = np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)
    data = bytes_of(Image.fromarray(pixels), "png")
    assert (np.asarray(converted(data, format="webp", lossless=True)) == pixels).all()
    assert not (np.asarray(converted(data, format="webp")) == pixels).all()


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"max_pixels": 1000}, (40, 25)),
        ({"max_side": 100}, (100, 63)),
        ({"max_side": 100, "max_pixels": 1000}, (40, 25)),
        ({"bucket": 256 * 256}, (410, 256)),
        ({"max_side": 10_000, "max_pixels": 10**9, "bucket": 4096 * 4096}, (800, 500)),
    ],
)
def test_images_are_made_smaller_and_never_larger(fields, size):
    assert ImageFormat(format="webp", **fields).size(800, 500) == size


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 10**7), st.integers(1, 3000))
def test_limits_hold_for_every_size(width, height, pixels, side):
    size = ImageFormat(format="webp", max_pixels=pixels, max_side=side).size(width, height)
    assert 1 <= size[0] <= min(width, side)
    assert 1 <= size[1] <= min(height, side)
    assert size[0] * size[1] <= pixels or 1 in size


@given(st.integers(256, 5000), st.integers(256, 5000))
def test_a_bucket_can_be_filled_where_the_image_could_fill_it(width, height):
    from hakubooru.image.bucket import Buckets

    buckets = Buckets()
    fit = buckets.sizes()[int(buckets.of([width], [height])[0])]
    size = ImageFormat(format="webp", bucket=1024 * 1024).size(width, height)
    assert (size >= fit).all() or size == (width, height)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(format, orientation):
    upright = Image.new("RGB", (96, 64), "white")
    upright.paste(RED, (0, 0, 48, 32))
    # The transposition that a viewer of this orientation undoes.
    turn = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    source = upright if turn is None else upright.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = converted(bytes_of(source, format, exif=exif), format="png", max_side=48)
    assert image.size == (48, 32)
    assert near(image, RED, (0.25, 0.25))
    assert near(image, (255, 255, 255), (0.75, 0.75))
    assert not image.getexif()


def test_colours_are_brought_to_srgb_and_the_profile_dropped():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # In the other profile red and green have changed places.
    other = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    for profile, colour in [(srgb, RED), (other, (10, 250, 20))]:
        for mode in ("RGB", "RGBA"):
            data = bytes_of(Image.new(mode, (32, 32), RED), "png", icc_profile=profile)
            image = converted(data, format="webp")
            assert near(image, colour)
            assert "icc_profile" not in image.info
    image = converted(
        bytes_of(Image.new("RGB", (32, 32), RED), "png", icc_profile=b"nonsense" * 40), format="webp"
    )
    assert near(image, RED)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey, as ICC.1:2001 has it (6.3.1.1): white and one curve."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, len(white), b"kTRC", 176, len(curve))
    size = 128 + len(tags) + len(white) + len(curve)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63_190, 65_536, 54_061)
    return head.ljust(128, b"\0") + tags + white + curve


@pytest.mark.parametrize("gamma", [1.0, 3.0])
def test_grey_is_brought_to_srgb_and_its_transparency_left(gamma):
    profile = grey_profile(gamma)
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    alpha = grey.transpose(Image.Transpose.ROTATE_90)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(grey, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert np.abs(np.asarray(expected.getchannel("G"), np.int16) - np.asarray(grey)).max() > 25
    image = converted(
        bytes_of(Image.merge("LA", (grey, alpha)), "png", icc_profile=profile), format="webp", lossless=True
    )
    assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(expected))
    assert np.array_equal(np.asarray(image.getchannel("A")), np.asarray(alpha))
    one_grey = converted(bytes_of(grey, "png", icc_profile=profile, transparency=77), format="png")
    assert np.array_equal(np.asarray(one_grey.convert("RGB")), np.asarray(expected))
    assert np.flatnonzero(np.asarray(one_grey.getchannel("A")) == 0).tolist() == [77]
    plain = converted(bytes_of(grey, "png", icc_profile=profile), format="png")
    assert np.array_equal(np.asarray(plain), np.asarray(expected))


def test_of_colours_a_profile_of_grey_says_nothing():
    for mode in ("RGB", "RGBA"):
        data = bytes_of(Image.new(mode, (32, 32), RED), "png", icc_profile=grey_profile(3))
        assert near(converted(data, format="png"), RED, by=0)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    half = converted(bytes_of(Image.new("LA", (32, 32), (130, 99)), "png", icc_profile=srgb), format="png")
    assert half.getpixel((5, 5)) == (130, 130, 130, 99)


@pytest.mark.parametrize(
    ("image", "format", "colour"),
    [
        (Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "jpeg", (255, 0, 0)),
        (Image.new("L", (32, 32), 130), "png", (130, 130, 130)),
        (Image.new("1", (32, 32), 1), "png", (255, 255, 255)),
        (Image.fromarray(np.full((32, 32), 130 * 256, np.uint16)), "png", (130, 130, 130)),
        (Image.new("RGB", (32, 32), RED).convert("P", palette=Image.Palette.ADAPTIVE), "png", RED),
    ],
    ids=["CMYK", "grey", "black and white", "16 bits", "palette"],
)
def test_every_mode_becomes_rgb_of_8_bits(image, format, colour):
    result = converted(bytes_of(image, format), format="webp")
    assert result.mode == "RGB"
    assert near(result, colour)


def test_transparency_is_kept_or_laid_onto_a_colour():
    half = Image.new("RGBA", (64, 64), (*RED, 255))
    half.paste((0, 0, 0, 0), (0, 0, 64, 32))
    data = bytes_of(half, "png")
    assert converted(data, format="webp").getpixel((32, 8))[3] == 0
    assert near(converted(data, format="webp", background="#00ff00"), (0, 255, 0), (0.5, 0.2))
    assert near(converted(data, format="jpeg"), (255, 255, 255), (0.5, 0.2))
    palette = half.convert("P")
    palette.info["transparency"] = palette.getpixel((5, 5))
    assert (
        converted(bytes_of(palette, "png", transparency=palette.getpixel((5, 5))), format="webp").mode
        == "RGBA"
    )
    opaque = bytes_of(Image.new("RGBA", (32, 32), (*RED, 255)), "png")
    assert converted(opaque, format="webp").mode == "RGB"


@pytest.mark.parametrize("format", ["gif", "webp", "png"])
def test_of_animations_the_first_picture_or_none(format):
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, "blue", "green")]
    data = bytes_of(frames[0], format, save_all=True, append_images=frames[1:], duration=100)
    assert near(converted(data, format="png"), RED)
    with pytest.raises(UnfitImageError, match="animated"):
        ImageFormat(animated="leave out").apply(read_header(data), data)
    assert ImageFormat(animated="leave out").apply(read_header(picture(1)), picture(1))[1] == picture(1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"min_side": 41}, "a side below 41 pixels"),
        ({"max_ratio": 2}, "a side more than 2 times the other"),
        ({"max_ratio": 2, "format": "webp"}, "a side more than 2 times the other"),
    ],
)
def test_unfit_images_are_left_out(fields, reason):
    data = picture(1, "png", (100, 40))
    with pytest.raises(UnfitImageError, match=reason):
        ImageFormat(**fields).apply(read_header(data), data)
    fit = picture(1, "png", (80, 41))
    assert ImageFormat(**fields).apply(read_header(fit), fit)


def test_check_decode_finds_what_the_header_does_not_tell():
    data = bytearray(picture(1, "png", (64, 64)))
    data[60] ^= 0xFF
    data = bytes(data)
    assert ImageFormat().apply(read_header(data), data)[1] == data
    for fields in ({"check": "decode"}, {"format": "webp"}):
        with pytest.raises(BrokenImageError, match="damaged png"):
            ImageFormat(**fields).apply(read_header(data), data)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same():
    gradient = np.linspace(0, 255, 2000, dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(gradient[:, None, None], (2000, 1500, 3)).copy())
    result = converted(bytes_of(image, "jpeg", quality=95), format="png", max_side=200)
    bare = image.resize((150, 200), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(result, np.int16) - np.asarray(bare, np.int16)).max() <= 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"fromat": "webp"}, "has no key 'fromat'.*format"),
        ({"format": "jpg2000"}, "image.format = .jpg2000.; there are: webp, avif, jpeg, png"),
        ({"format": "webp", "quality": 0}, "quality = 0"),
        ({"format": "webp", "max_pixels": "1MP"}, "max_pixels = .1MP.; write a whole number of at least 1"),
        ({"max_side": 1024}, "need a format; add one"),
        (
            {"quality": 80},
            'quality = 80 needs a format.*add one, such as format = "webp", or leave quality out',
        ),
        ({"format": "webp", "background": "nice"}, "background = .nice.; write a colour"),
        ({"format": "avif", "lossless": True}, "lossless needs format"),
        ({"animated": "all"}, "there are: first, leave out"),
        ({"max_ratio": 0.5}, "a number of at least 1"),
        ("webp", "image = .webp. is not a table"),
    ],
)
def test_a_wrong_table_is_told(table, message):
    with pytest.raises(InputError, match=message):
        image_format(table)


def odd_exif(*entries):
    """A jpeg of 80 x 30 with a first directory of such entries: tag, type, count, four bytes."""
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)
    return bytes_of(Image.new("RGB", (80, 30), "red"), "jpeg", exif=exif)


@pytest.mark.parametrize(
    ("entries", "size"),
    [
        ([(0x112, 3, 1, b"\6\0"), (0x128, 2, 2, b"2\0")], (30, 80)),
        ([(0x112, 3, 1, b"\6\0"), (0x11A, 2, 2, b"2\0")], (30, 80)),
        ([(0x112, 2, 2, b"6\0")], (80, 30)),
        ([(0x112, 3, 1, b"\x09\0")], (80, 30)),
        ([(0x112, 3, 1, b"\x63\0")], (80, 30)),
    ],
)
def test_odd_exif_is_no_obstacle(entries, size):
    assert converted(odd_exif(*entries), format="png").size == size


@pytest.mark.slow
def test_a_detailed_image_can_become_a_jpeg():
    noise = np.random.default_rng(1).integers(0, 256, (800, 800, 3), np.uint8)
    for quality in (90, 94, 100):
        assert converted(bytes_of(Image.fromarray(noise), "png"), format="jpeg", quality=quality).size == (
            800,
            800,
        )


def test_what_is_too_long_for_a_format_is_unfit():
    long = bytes_of(Image.new("RGB", (10, 17_000)), "png")
    with pytest.raises(UnfitImageError, match="16,383 pixels, more than webp can have"):
        converted(long, format="webp")
    assert converted(long, format="webp", max_side=16_383).height == 16_383


def test_lossless_keeps_what_is_transparent():
    pixels = np.random.default_rng(2).integers(0, 256, (32, 32, 4), np.uint8)
    pixels[:16, :, 3] = 0
    image = converted(bytes_of(Image.fromarray(pixels), "png"), format="webp", lossless=True)
    assert np.array_equal(np.asarray(image), pixels)


def test_a_jpeg_with_a_second_picture_is_still():
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (20, 20), "blue")
    data = bytes_of(first, "mpo", save_all=True, append_images=[second])
    shape = ImageFormat(animated="leave out")
    assert shape.apply(read_header(data), data)[1] == data


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"format": "webp", "background": 5}, "background = 5"),
        ({"max_ratio": "2:1"}, 'max_ratio = "2:1"; write a number of at least 1'),
        ({"max_ratio": True}, "max_ratio = true; write a number"),
        ({"format": "webp", "lossless": "no"}, 'lossless = "no"; write true or false'),
        ({"format": "webp", "bucket": 1000}, "area 1000"),
    ],
)
def test_a_value_of_another_kind_is_told(table, message):
    with pytest.raises(InputError) as caught:
        image_format(table)
    assert message in str(caught.value)


def test_a_transparent_grey_of_16_bits_takes_no_other_with_it():
    pixels = np.array([[0, 100, 33_280, 65_535]] * 4, np.uint16)
    data = bytes_of(Image.fromarray(pixels), "png", transparency=33_280)
    image = np.asarray(converted(data, format="png"))
    assert image[0, :, 0].tolist() == [0, 0, 130, 255]
    assert image[0, :, 3].tolist() == [255, 255, 0, 255]
