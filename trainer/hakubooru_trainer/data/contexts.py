"""Encoded captions, kept on disk, for text encoders that are not trained.

CACHE/<ENCODERS> holds the outputs for each caption and the tokens they were made from, under the SHA-256 of the
caption. <ENCODERS> is a hash of the encoders' weights and of all options that change the outputs.
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
    from hakubooru_trainer.data.inputs import Inputs
    from hakubooru_trainer.distributed import Ranks
    from hakubooru_trainer.model.load import Sdxl


class ContextCache:
    """A cache of what the text encoders give for captions.

    Args:
        folder: the folder of all such caches.
        model: the model with its text encoders.
        options: the options of the run.
        ranks: the ranks of the run.
    """

    def __init__(self, folder: Path, model: Sdxl, options: Options, ranks: Ranks) -> None:
        weights = weights_key(model.text_encoder, model.text_encoder_2)
        captions = options.captions
        written = (captions.group_separator, captions.written_separator)
        settings = repr(
            (
                text.TOKENS_VERSION,
                options.run.precision,
                options.text.tokens,
                captions.separator,
                captions.keep_separator,
                *(written if any(written) else ()),  # so that caches from before them are still found
            )
        )
        name = f"{weights}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
        self.cache = Cache(folder / name, ranks, "cache.text")

    def get(self, caption: str, tokens: Tensor, tokens_2: Tensor) -> tuple[Tensor, Tensor]:
        """The cached outputs of a caption: hidden states, (chunks * 75 + 2, 2048), and pooled output, (1280,).

        Args:
            caption: the caption as it is on disk; "" for one that was dropped.
            tokens: its token ids by the first tokenizer, (chunks, 77).
            tokens_2: its token ids by the second tokenizer, (chunks, 77).

        Raises:
            DataSetError: the outputs were made from other tokens, or cannot be read.
        """
        name = _name(caption)
        states, pooled, *made_of = self.cache.get(_key(name), name, 4)
        if not (torch.equal(made_of[0], tokens) and torch.equal(made_of[1], tokens_2)):
            raise DataSetError(
                f"{self.cache.folder} was made with other tokenizers; delete it, and the next run makes it again"
            )
        return states, pooled

    def fill(self, inputs: Inputs, model: Sdxl, precision: AbstractContextManager[Any]) -> int:
        """Encode the captions that the cache lacks, a part on each rank, and return how many those were in all.

        Args:
            inputs: whose captions are needed; the empty caption is needed too.
            model: the model, with its text encoders on the device.
            precision: the precision that they compute in.

        Raises:
            DataSetError: the ranks do not share the folder.
            TrainingError: the encoders give numbers that are not finite.
        """

        def make(place: int) -> Item:
            sample = inputs.samples[place - 1] if place else None
            caption = sample.caption if sample else ""
            tokens, tokens_2 = inputs.tokens([inputs.caption.unchanged(sample) if sample else ""])
            device = self.cache.ranks.device
            # One caption at a time, so that its numbers do not depend on a batch.
            with torch.no_grad(), precision:
                outputs = text.encode(model, tokens.to(device), tokens_2.to(device))
            if not all(part.isfinite().all() for part in outputs):
                raise TrainingError(
                    f'the text encoders give numbers that are not finite for "{caption}"; set run.precision to "bf16" or "fp32"'
                )
            return Item(_name(caption), (outputs[0][0], outputs[1][0], tokens[0], tokens_2[0]))

        keys = np.fromiter(map(_key, map(_name, _captions(inputs))), np.uint64)
        return self.cache.fill(keys, np.zeros(len(keys), np.int64), make, "encoding captions")


def _captions(inputs: Inputs) -> Iterable[str]:
    yield ""
    for some in inputs.samples.texts():
        yield from some


def _name(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()


def _key(name: str) -> int:
    return int(name[:16], 16)
