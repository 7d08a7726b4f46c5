"""Masks beside images: how much each place of an image counts in the loss."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from hakubooru_trainer.config.data import ENDING
from hakubooru_trainer.data.images import UnusableImageError, View, box

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru_trainer.config.data import DataOptions
    from hakubooru_trainer.randomness import Floats

_DOWN: Final = 8
"""Pixels of an image for each place of its latents, along each side."""


def mask_of(image: str, data: DataOptions) -> Path | None:
    """Where the mask of an image is, or None if it has none.

    Args:
        image: the path of the image, which begins with the data set's.
        data: the data set.
    """
    if not data.masks:
        return None
    stem = image.rpartition(".")[0]
    if data.masks.startswith(ENDING):
        path = Path(f"{stem}{data.masks}")
    else:
        path = Path(f"{data.masks}/{stem.removeprefix(f'{data.path}/')}.png")
    return path if path.is_file() else None


def mask(path: Path | None, seen: View, size: tuple[int, int]) -> Floats:
    """A mask, resized and cropped as its image, averaged to the places of the latents: (1, H/8, W/8), from 0 to 1.

    Args:
        path: the mask, of any size and of the image's shape; None for an image without one, of which everything counts.
        seen: what is shown of the image.
        size: width and height of the image's bucket, in pixels.

    Raises:
        UnusableImageError: the mask cannot be read.
    """
    places = (size[0] // _DOWN, size[1] // _DOWN)
    if path is None:
        return np.ones((1, *places[::-1]), np.float32)
    try:
        with Image.open(path) as opened:
            image = opened.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableImageError(str(path), f"cannot be read as a mask ({error})") from error
    if seen.is_flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    resized = image.resize(places, Image.Resampling.BOX, box(seen.fit, size, *image.size))
    return np.asarray(resized, np.float32)[None] / np.float32(255)


def update_with_masks(digest: Any, data: DataOptions, paths: Iterable[str]) -> None:
    """Add the masks of images to the fingerprint of a data set.

    Args:
        digest: the hash.
        data: the data set.
        paths: the paths of its images below its folder.
    """
    for path in paths:
        place = mask_of(f"{data.path}/{path}", data)
        digest.update(hashlib.sha256(place.read_bytes()).digest() if place else b"-")
