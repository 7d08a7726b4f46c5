"""What a model is given of each image and caption of a data set: the bucket's size, the pixels, the tokens."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from hakubooru_trainer.data.captions import StepCaptions
from hakubooru_trainer.data.images import UnusableImageError, View, fit, pixels, view
from hakubooru_trainer.data.masks import mask, mask_of
from hakubooru_trainer.text import CHUNK, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.order import Sizes
    from hakubooru_trainer.data.samples import Samples
    from hakubooru_trainer.randomness import Floats


class Inputs:
    """Brings images to the sizes of their buckets, and captions to tokens."""

    def __init__(self, samples: Samples, sizes: Sizes, options: Options, tokenizers: Sequence[Any]) -> None:
        self.samples = samples
        self.sizes = sizes
        self.options = options
        self.tokenizers = tokenizers
        self.left_out: dict[int, UnusableImageError] = {}
        """Why images could not be decoded, by their row; only images that were read so far."""
        self.caption = StepCaptions(options.captions)

    def tokens(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The token ids of captions by both tokenizers, each (B, chunks, 77)."""
        chunks = self.options.text.tokens // CHUNK
        return tokenize(self.tokenizers[0], captions, chunks), tokenize(self.tokenizers[1], captions, chunks)

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of an image's bucket, in pixels."""
        width, height = self.sizes.sizes[self.sizes.of[row]].tolist()
        return width, height

    def own_size(self, row: int) -> tuple[int, int]:
        """Width and height of an image itself, in pixels."""
        return int(self.samples.widths[row]), int(self.samples.heights[row])

    def view(self, row: int, draw: Sequence[int] = (), *, is_flipped: bool = False) -> View:
        """What a step shows of an image.

        Args:
            row: its row.
            draw: the numbers that crop and flip of a training step follow from; without them the centre is shown.
            is_flipped: whether the image is mirrored, if no numbers are given.
        """
        if draw:
            return view(*self.own_size(row), self.size(row), self.options.augment, draw)
        return View(fit(*self.own_size(row), self.size(row)), is_flipped)

    def pixels(self, row: int, seen: View) -> Floats:
        """What is shown of an image, in the size of its bucket, (3, H, W), from -1 to 1.

        Raises:
            UnusableImageError: the image does not decode, or is another one than the data set lists.
            DataSetError: it cannot be read.
        """
        data, sample = self.samples.read(row), self.samples[row]
        shown = pixels(sample.path, data, *self.own_size(row), self.size(row), seen=seen)
        # Caches and fingerprints know an image by this hash.
        if hashlib.sha256(data).hexdigest() != sample.sha256:
            raise UnusableImageError(
                sample.path,
                "was changed since it was listed; export again, or train on your own version from a folder of its own",
            )
        return shown

    def is_as_listed(self, row: int) -> bool:
        """Whether an image has the bytes that the data set lists.

        Raises:
            DataSetError: it cannot be read.
        """
        return hashlib.sha256(self.samples.read(row)).hexdigest() == self.samples[row].sha256

    def mask(self, row: int, seen: View) -> Floats:
        """The mask of what is shown of an image, at the places of its latents, (1, H/8, W/8), from 0 to 1.

        Raises:
            UnusableImageError: the mask cannot be read, or has another shape than the image.
        """
        path, data = self.samples[row].path, self.samples.sets[self.samples.sources[row]].options
        width, height = self.size(row)
        return mask(mask_of(path, data), seen, (width, height), self.own_size(row))

    def leave_out(self, row: int, error: UnusableImageError) -> None:
        """Report, once for each image, that it has no weight in the training."""
        if self.left_out.setdefault(row, error) is error:
            tqdm.write(
                f"{error}; it is left out, with no weight. Save it again or remove it; in an export, "
                "`hakubooru verify --decode` finds all such images",
                file=sys.stderr,
            )
