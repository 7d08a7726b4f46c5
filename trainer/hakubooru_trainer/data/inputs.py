"""What a model is given of each image and caption of a data set: the bucket's size, the pixels, the tokens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from hakubooru_trainer.data.images import pixels
from hakubooru_trainer.text import CHUNK, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.images import UnusableImageError
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
        """Images that were met and could not be decoded, by their row."""
        self.unchanged = options.captions.unchanged()

    def tokens(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What both tokenizers make of captions, each (B, chunks, 77)."""
        chunks = self.options.text.tokens // CHUNK
        return tokenize(self.tokenizers[0], captions, chunks), tokenize(self.tokenizers[1], captions, chunks)

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of an image's bucket."""
        width, height = self.sizes.sizes[self.sizes.of[row]].tolist()
        return width, height

    def pixels(self, row: int) -> Floats:
        """An image brought to its bucket's size, (3, H, W)."""
        samples = self.samples
        width, height = int(samples.widths[row]), int(samples.heights[row])
        return pixels(samples[row].path, samples.read(row), width, height, self.size(row))

    def leave_out(self, row: int, error: UnusableImageError) -> None:
        """Say, once for each image, that it has no weight in the training."""
        if self.left_out.setdefault(row, error) is error:
            tqdm.write(
                f"{error}; left out, with no weight. Save it anew or remove it; in an export, "
                "`hakubooru verify --decode` finds all such images",
                file=sys.stderr,
            )
