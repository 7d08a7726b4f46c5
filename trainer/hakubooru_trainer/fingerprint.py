"""Fingerprints of a model, and of our own code, which tell one version from another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

import hakubooru

if TYPE_CHECKING:
    from hakubooru_trainer.model.load import Sdxl

_CODE: Final = (
    "hakubooru/caption", "hakubooru/image", "hakubooru/select/sampling.py", "hakubooru_trainer",
)  # fmt: skip
"""The parts of our own code that decide the result of a run."""


def of_model(model: Sdxl) -> str:
    """SHA-256 of the name, the shape and the first numbers of every tensor; any fine-tune moves those numbers."""
    digest = hashlib.sha256()
    for part in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        for name, tensor in part.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            first = tensor.flatten()[:64].cpu().contiguous()
            digest.update(first.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def of_code() -> str:
    """SHA-256 of the parts of our own code that decide the result of a run."""
    digest = hashlib.sha256()
    roots = (Path(hakubooru.__file__).parents[1], Path(__file__).parents[1])
    for path in (root / name for name in _CODE for root in dict.fromkeys(roots)):
        for file in (path,) if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return f"sha256:{digest.hexdigest()}"
