"""An image as the model takes it, and what SDXL is told of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from PIL import Image

from hakubooru.errors import DataSetError
from hakubooru.image.decode import decode
from hakubooru.image.header import read_header
from hakubooru.image.kinds import BrokenImageError
from hakubooru_trainer import randomness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakubooru_trainer.config.data import AugmentOptions
    from hakubooru_trainer.randomness import Floats


DOWN: Final = 8
"""Pixels of an image for each place of its latents, along each side."""


class UnusableImageError(DataSetError):
    """An image that exists and cannot be trained on; a run goes on without it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = reason


class Fit(NamedTuple):
    """How an image gets the size of its bucket: resized to cover it, and cropped at the centre. All in pixels."""

    width: int
    """The width after resizing."""
    height: int
    left: int
    """Where the crop begins."""
    top: int


class View(NamedTuple):
    """What a step shows of an image: the image, mirrored or not, resized and cropped."""

    fit: Fit
    is_flipped: bool = False
    """Whether the image is mirrored before it is cropped."""


def view(
    width: int, height: int, size: tuple[int, int], options: AugmentOptions, draw: Sequence[int]
) -> View:
    """What a step shows of an image.

    Args:
        width: the width of the image, in pixels.
        height: the height of the image, in pixels.
        size: width and height of its bucket.
        options: whether crops are random, and the chance of a flip.
        draw: the numbers that the random ones follow from.
    """
    centre = fit(width, height, size)
    if options.random_crop:
        left = randomness.integer(0, centre.width - size[0] + 1, "crop left", *draw)
        top = randomness.integer(0, centre.height - size[1] + 1, "crop top", *draw)
        centre = centre._replace(left=left, top=top)
    return View(centre, is_flipped=randomness.fraction("flip", *draw) < options.flip)


def fit(width: int, height: int, size: tuple[int, int]) -> Fit:
    """How an image of this width and height is resized and cropped to a size, all in pixels."""
    scale = max(size[0] / width, size[1] / height)
    wide, high = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    return Fit(wide, high, (wide - size[0]) // 2, (high - size[1]) // 2)


def conditioning(
    width: int,
    height: int,
    size: tuple[int, int],
    crop: Literal["true", "kohya"],
    resized: Fit | None = None,
) -> list[float]:
    """SDXL's numbers of size and crop: original height and width, top and left of the crop, height and width of the target.

    Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", 2023, section 2.2.

    Args:
        width: the width of the image, in pixels.
        height: the height of the image, in pixels.
        size: width and height of its bucket.
        crop: `true` for the crop that is made; `kohya` for sd-scripts' figures, the margins of an image that is fitted
            *into* the bucket (`get_crop_ltrb` in library/train_util.py).
        resized: the crop that is made; by default the one of `fit`. If the image is mirrored, it is a crop of the mirrored one.
    """
    if crop == "true":
        resized = resized or fit(width, height, size)
        top, left = float(resized.top), float(resized.left)
    elif size[0] / size[1] > width / height:
        top, left = 0.0, (size[0] - size[1] * (width / height)) // 2
    else:
        top, left = (size[1] - size[0] / (width / height)) // 2, 0.0
    return [float(height), float(width), top, left, float(size[1]), float(size[0])]


def pixels(
    path: str, data: bytes, width: int, height: int, size: tuple[int, int], *, seen: View | None = None
) -> Floats:
    """Resize and crop an image: (3, H, W) from -1 to 1. Transparent parts become white.

    Args:
        path: where the image lies, for messages.
        data: its file's bytes.
        width: the width that the data set lists, in pixels.
        height: the height that the data set lists, in pixels.
        size: width and height of the result, in pixels.
        seen: what is shown of the image; by default its centre.

    Raises:
        UnusableImageError: the image does not decode, or does not have the listed width and height.
    """
    try:
        header = read_header(data)
        image = decode(data, header, background="white")
    except BrokenImageError as error:
        raise UnusableImageError(path, f"cannot be read ({error})") from error
    if image.size != (width, height):
        raise UnusableImageError(
            path,
            f"is {image.size[0]} by {image.size[1]} pixels and was {width} by {height} when it was listed; export again",
        )
    seen = seen or View(fit(width, height, size))
    if seen.is_flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    # Only the part that stays is resized: all of an image of 1 by 16,000 pixels would be gigabytes.
    resized = image.resize(size, Image.Resampling.LANCZOS, box(seen.fit, size, width, height))
    values: np.ndarray[Any, np.dtype[np.float32]] = np.asarray(resized, np.float32) / 127.5 - 1
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def box(crop: Fit, size: tuple[int, int], width: int, height: int) -> tuple[float, float, float, float]:
    """The part of an image that a crop keeps: left, top, right and bottom, in the image's own pixels.

    Args:
        crop: how the image is resized and cropped.
        size: width and height of the crop, in pixels.
        width: the width of the image, in pixels.
        height: the height of the image, in pixels.
    """
    across, down = width / crop.width, height / crop.height
    right, bottom = (crop.left + size[0]) * across, (crop.top + size[1]) * down
    return crop.left * across, crop.top * down, min(width, right), min(height, bottom)
