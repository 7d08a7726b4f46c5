"""Tensors that some checkpoints hold and that no program needs to compute with SDXL."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

MARKS: Final = frozenset({"v_pred", "ztsnr"})
"""Empty tensors that say what a model predicts, and how its schedule ends."""

_EXTRAS: Final = (
    "model_ema.*",  # a second copy of the UNet
    "*position_ids",  # 0, 1, 2 …
    "*logit_scale",  # CLIP's own training
    "*.attn_mask",
    "conditioner.embedders.0.*text_projection*",  # SDXL reads the first encoder before it
    "denoiser.sigmas",  # the noise schedule, which follows from SDXL's constants
    "betas", "log_var", "logvar", "*alphas_cumprod", "*alphas_cumprod_prev", "posterior_*", "sqrt_recip*_alphas_cumprod",
    "first_stage_model.loss.*",  # what the VAE was trained against
    "first_stage_model.model_ema.*",
)  # fmt: skip
_OF_VAE: Final = ("loss.*", "model_ema.*")
_OF_TEXT: Final = ("*position_ids", "*logit_scale")
_OF_FOLDER: Final = {
    "unet": (),
    "vae": _OF_VAE,
    "text_encoder": (*_OF_TEXT, "text_projection.weight"),
    "text_encoder_2": _OF_TEXT,
}


def is_extra(name: str) -> bool:
    """Whether a tensor of a single-file checkpoint may be left unread."""
    return _matches(name, _EXTRAS)


def is_extra_of(part: str, name: str) -> bool:
    """Whether a tensor of a file that holds only one part may be left unread."""
    return _matches(name, _OF_FOLDER[part])


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
