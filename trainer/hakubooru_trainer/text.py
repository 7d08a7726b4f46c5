"""Captions to the UNet's inputs: tokens in chunks of 75, both encoders, and the pooled output."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.model.load import Sdxl

CHUNK: Final = 75
"""Tokens in a chunk, without its start and end marks."""

TOKENS_VERSION: Final = 2
"""The version of the rule by which captions become tokens. Raise it when the rule changes: caches of other versions are not used."""

TOKENS_CHANGES: Final = "all of a caption is plain text, so that an exclamation mark, <|startoftext|> and <|endoftext|> have other tokens"
"""What the last change of `TOKENS_VERSION` was, for messages."""

_lock = threading.Lock()  # threads cannot share the fast tokenizers


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, without marks and not padded; `!` and words like the marks are plain text."""
    with _lock:
        encoding = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids: list[list[int]] = encoding["input_ids"]
    return ids


def tokenize(tokenizer: Any, texts: Sequence[str], chunks: int) -> Tensor:
    """Tokenize texts, (B, chunks, 77) int64: each chunk begins with the start mark, ends with the end mark and is padded.

    Tokens beyond the last chunk are cut off. The two tokenizers of SDXL have different pad tokens: the first's is its end
    mark, the second's is 0.
    """
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = []
    for ids in token_ids(tokenizer, texts):
        for chunk in range(chunks):
            some = ids[chunk * CHUNK : (chunk + 1) * CHUNK]
            rows.append([start, *some, end] + [pad] * (CHUNK - len(some)))
    return torch.tensor(rows).reshape(len(texts), chunks, CHUNK + 2)


def encode(model: Sdxl, tokens: Tensor, tokens_2: Tensor) -> tuple[Tensor, Tensor]:
    """Encode captions for the UNet.

    Args:
        model: the model with both text encoders.
        tokens: token ids by the first tokenizer, (B, chunks, 77).
        tokens_2: token ids by the second tokenizer, (B, chunks, 77).

    Returns:
        The hidden states before the last layer of each encoder, side by side, (B, chunks * 75 + 2, 2048); the marks between
        chunks are left out, as in sd-scripts. And the second encoder's pooled output of the first chunk, at its end
        mark, (B, 1280).
    """
    first = model.text_encoder(tokens.flatten(0, 1), output_hidden_states=True)
    second = model.text_encoder_2(tokens_2.flatten(0, 1), output_hidden_states=True)
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)  # (B * chunks, 77, 2048)
    states = states.reshape(*tokens.shape, -1)
    pooled = second.text_embeds.reshape(*tokens.shape[:2], -1)[:, 0]
    middle = states[:, :, 1:-1].flatten(1, 2)
    return torch.cat([states[:, 0, :1], middle, states[:, -1, -1:]], 1), pooled
