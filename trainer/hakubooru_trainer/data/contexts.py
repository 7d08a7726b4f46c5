"""Encoded captions, kept on disk, for text encoders that stay as they are.

CACHE/<ENCODERS> holds what the UNet is told of each caption, and the tokens that it was made of, named by the SHA-256 of the
caption. <ENCODERS> is a hash of the encoders' weights and of all options that the outputs depend on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hakubooru.errors import DataSetError, TrainingError
from hakubooru_trainer import text
from hakubooru_trainer.data.cache import Cache, Item, weights_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.batches import Batches
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.model.load import Sdxl


class ContextCache:
    """What text encoders make of captions, on disk."""

    def __init__(self, folder: Path, model: Sdxl, options: Options, ranks: Ranks) -> None:
        weights = weights_key(model.text_encoder, model.text_encoder_2)
        told = repr(
            (
                text.TOKENS_VERSION,
                options.run.precision,
                options.text.tokens,
                options.captions.separator,
                options.captions.keep_separator,
            )
        )
        name = f"{weights}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        self.cache = Cache(folder / name, ranks, "cache.text")

    def get(self, caption: str, tokens: Tensor, tokens_2: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states, (chunks * 75 + 2, 2048), and pooled output, (1280,), of a caption as it is on disk.

        Args:
            caption: "" stands for one that was dropped.
            tokens: by the first tokenizer, (chunks, 77).
            tokens_2: by the second.

        Raises:
            DataSetError: it was encoded from other tokens, or cannot be read.
        """
        name = _name(caption)
        states, pooled, *made_of = self.cache.get(_key(name), name, 4)
        if not (torch.equal(made_of[0], tokens) and torch.equal(made_of[1], tokens_2)):
            raise DataSetError(
                f"{self.cache.folder} was made with other tokenizers; delete it to have it made anew"
            )
        return states, pooled

    def fill(self, batches: Batches, model: Sdxl, precision: AbstractContextManager[Any]) -> int:
        """Encode what is not there yet, a part on each rank, and give how many captions that was in all.

        Args:
            batches: whose captions, and the empty one.
            model: with the encoders on the device.
            precision: what they compute in.

        Raises:
            DataSetError: the ranks do not share the folder.
            TrainingError: the encoders give numbers that are not finite.
        """

        def make(place: int) -> Item:
            caption = batches.samples[place - 1].caption if place else ""
            tokens, tokens_2 = batches.tokens([batches.unchanged(caption, 0)])
            device = self.cache.ranks.device
            with torch.no_grad(), precision:  # one at a time, so that the batch makes no difference
                found = text.encode(model, tokens.to(device), tokens_2.to(device))
            if not all(part.isfinite().all() for part in found):
                raise TrainingError(
                    f'the text encoders give numbers that are not finite for "{caption}"; set run.precision to "bf16" or "fp32"'
                )
            return Item(_name(caption), (found[0][0], found[1][0], tokens[0], tokens_2[0]))

        keys = np.fromiter(map(_key, map(_name, _captions(batches))), np.uint64)
        return self.cache.fill(keys, np.zeros(len(keys), np.int64), make, "encoding captions")


def _captions(batches: Batches) -> Iterable[str]:
    yield ""
    for some in batches.samples.texts():
        yield from some


def _name(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()


def _key(name: str) -> int:
    return int(name[:16], 16)
