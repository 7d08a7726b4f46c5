"""Masks beside images: how much each place of an image counts in the loss, as sd-scripts' `masked_loss` has it."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps
from pyarrow import compute

from hakubooru.errors import DataSetError
from hakubooru.image.decode import shallow
from hakubooru_trainer.config.data import ENDING
from hakubooru_trainer.data.images import DOWN, UnusableImageError, View, box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from hakubooru_trainer.config.data import DataOptions
    from hakubooru_trainer.randomness import Floats


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


def refuse_shards(data: DataOptions) -> None:
    """Refuse masks for images in shards.

    Raises:
        DataSetError: the data set is to have masks.
    """
    if data.masks:
        raise DataSetError(
            f"data.masks: {data.path} has images in shards; masks need images in their own files"
        )


def check_masks(data: DataOptions, images: Iterable[tuple[DataOptions, str]]) -> None:
    """Refuse masks that no image has.

    Args:
        data: the data set as the configuration has it.
        images: the paths of its images below their folders, with the folder's options; read up to the first with a mask.

    Raises:
        DataSetError: no image has a mask.
    """
    if data.masks and all(mask_of(f"{own.path}/{path}", own) is None for own, path in images):
        raise DataSetError(
            f"data.masks is {data.masks}, and no image of {data.path} has such a mask; name the ending of the files beside "
            "the images, or the folder that has a .png of each image's name"
        )


def mask_test(data: DataOptions) -> Callable[[pa.Array], pa.Array] | None:
    """What tells the paths of masks from those of images, below the data set's folder; None where no masks lie there.

    Raises:
        DataSetError: the folder of the masks is that of the images.
    """
    if not data.masks:
        return None
    if data.masks.startswith(ENDING):
        return partial(compute.ends_with, pattern=data.masks)
    root, folder = Path(data.path).resolve(), Path(data.masks).resolve()
    if root == folder:
        raise DataSetError(
            f"data.masks is {data.masks}, the folder of the images itself, where a mask would be an image too; move the masks "
            "to a folder of their own, or give them an ending such as -masklabel.png"
        )
    if not folder.is_relative_to(root):
        return None
    return partial(compute.starts_with, pattern=f"{folder.relative_to(root).as_posix()}/")


def mask(path: Path | None, seen: View, size: tuple[int, int], image_size: tuple[int, int]) -> Floats:
    """A mask, resized and cropped as its image, averaged to the places of the latents: (1, H/8, W/8), from 0 to 1.

    Args:
        path: the mask, of any size and of the image's shape; None for an image without one, of which everything counts.
        seen: what is shown of the image.
        size: width and height of the image's bucket, in pixels.
        image_size: width and height of the image itself, in pixels.

    Raises:
        UnusableImageError: the mask cannot be read, or has another shape than the image.
    """
    places = (size[0] // DOWN, size[1] // DOWN)
    if path is None:
        return np.ones((1, *places[::-1]), np.float32)
    try:
        with Image.open(path) as opened:
            image = _grey(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableImageError(str(path), f"cannot be read as a mask ({error})") from error
    across, down = image.width * image_size[1], image.height * image_size[0]
    if abs(across - down) > sum(
        image_size
    ):  # more than a pixel of the mask, by which its size may be rounded
        raise UnusableImageError(
            str(path),
            f"is a mask of {image.width} by {image.height} pixels, and its image has {image_size[0]} by {image_size[1]}: "
            "another shape, so that its places would be others",
        )
    if seen.is_flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    resized = image.resize(places, Image.Resampling.BOX, box(seen.fit, size, *image.size))
    return np.asarray(resized, np.float32)[None] / np.float32(255)


def _grey(image: Image.Image) -> Image.Image:
    """A mask in 8 bits of grey, upright as its image is.

    Raises:
        ValueError: it has 32 bits of grey, whose white is not known.
    """
    if image.mode in ("I", "F"):
        raise ValueError("32 bits of grey; save it with 8 or 16")
    image.load()  # the texts of a PNG may lie behind its pixels
    for place in ("xmp", "XML:com.adobe.xmp"):  # where Pillow looks for an orientation if EXIF has none
        image.info.pop(place, None)
    return shallow(ImageOps.exif_transpose(image)).convert("L")


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
