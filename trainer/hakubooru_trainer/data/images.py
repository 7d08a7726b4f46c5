"""An image as the model takes it, and what the model is told of its size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pillow_avif  # noqa: F401 - teaches Pillow avif
from PIL import Image, UnidentifiedImageError

from hakubooru.errors import DataSetError

if TYPE_CHECKING:
    from hakubooru_trainer.randomness import Floats


class Fit(NamedTuple):
    """How an image is brought to the size of its bucket: resized to cover it, and cropped at the centre; pixels."""

    width: int
    """After resizing."""
    height: int
    left: int
    """Where the crop begins."""
    top: int


def fit(width: int, height: int, size: tuple[int, int]) -> Fit:
    """How an image of some width and height is brought to a size."""
    scale = max(size[0] / width, size[1] / height)
    wide, high = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    return Fit(wide, high, (wide - size[0]) // 2, (high - size[1]) // 2)


def conditioning(
    width: int, height: int, size: tuple[int, int], crop: Literal["true", "kohya"]
) -> list[float]:
    """What SDXL is told: original height and width, top and left of the crop, height and width of the target.

    Args:
        width: of the image.
        height: of the image.
        size: of its bucket, width and height.
        crop: the one that `fit` makes; or what sd-scripts says, the margins of an image that is fitted *into* the
            bucket (`get_crop_ltrb` in library/train_util.py).
    """
    if crop == "true":
        made = fit(width, height, size)
        top, left = float(made.top), float(made.left)
    elif size[0] / size[1] > width / height:
        top, left = 0.0, (size[0] - size[1] * (width / height)) // 2
    else:
        top, left = (size[1] - size[0] / (width / height)) // 2, 0.0
    return [float(height), float(width), top, left, float(size[1]), float(size[0])]


def pixels(path: str, data: bytes, width: int, height: int, size: tuple[int, int]) -> Floats:
    """An image brought to a size: (3, H, W) from -1 to 1; what is transparent becomes white.

    Args:
        path: where it lies, for the message.
        data: its file.
        width: that it is expected to have.
        height: likewise.
        size: width and height that it is brought to.

    Raises:
        DataSetError: it cannot be read, or is not of the width and height that are expected.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = _without_alpha(opened)
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataSetError(
            f"{path} cannot be read ({error}); `hakubooru export` with the same options mends it"
        ) from error
    if image.size != (width, height):
        raise DataSetError(
            f"{path} is {image.size[0]} by {image.size[1]} pixels and was {width} by {height} when it was listed; export anew"
        )
    made = fit(width, height, size)
    resized = image.resize((made.width, made.height), Image.Resampling.LANCZOS)
    cropped = resized.crop((made.left, made.top, made.left + size[0], made.top + size[1]))
    values: np.ndarray[Any, np.dtype[np.float32]] = np.asarray(cropped, np.float32) / 127.5 - 1
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def _without_alpha(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")
