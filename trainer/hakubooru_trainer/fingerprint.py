"""Fingerprints of what a run or an evaluation takes from a model, which tell one from another."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

from hakubooru.fingerprint import of_json

if TYPE_CHECKING:
    from hakubooru_trainer.model.load import Sdxl
    from hakubooru_trainer.model.single_file import Marks


def of_model(model: Sdxl) -> str:
    """SHA-256 of the name, the shape and the first numbers of every tensor; any fine-tune moves those numbers."""
    digest = hashlib.sha256()
    for part in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        for name, tensor in part.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            first = tensor.flatten()[:64].cpu().contiguous()
            digest.update(first.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def of_tokenizers(model: Sdxl) -> str:
    """SHA-256 of the vocabularies of both tokenizers, and of the tokens that they begin, end and pad with."""
    rules = [
        [sorted(one.get_vocab().items()), one.bos_token_id, one.eos_token_id, one.pad_token_id]
        for one in (model.tokenizer, model.tokenizer_2)
    ]
    return of_json(rules)


def schedule(marks: Marks) -> str:
    """What a model predicts and how its noise schedule ends, in words."""
    return f"{'v' if marks.v else 'epsilon'}{', zero terminal SNR' * marks.zero_terminal_snr}"
