"""The fingerprint of a model, which tells one from another."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from hakubooru_trainer.model.load import Sdxl


def of_model(model: Sdxl) -> str:
    """SHA-256 of the name, the shape and the first numbers of every tensor; any fine-tune moves those numbers."""
    digest = hashlib.sha256()
    for part in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        for name, tensor in part.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            first = tensor.flatten()[:64].cpu().contiguous()
            digest.update(first.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"
