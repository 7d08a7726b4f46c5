"""Tensors of checkpoints that SDXL does not need, and the error for tensors that nothing reads."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from hakubooru.errors import ModelError
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.names import PREFIXES
from hakubooru_trainer.model.quantised import is_companion, is_marker, refuse_packed

if TYPE_CHECKING:
    from pathlib import Path

MARKS: Final = frozenset({"v_pred", "ztsnr"})
"""Empty tensors that say what a model predicts, and how its schedule ends."""

_EXTRAS: Final = (
    "model_ema.*",  # a second copy of the UNet
    "*position_ids",  # 0, 1, 2 …
    "*logit_scale",  # CLIP's own training
    "*.attn_mask",
    "conditioner.embedders.0.*text_projection*",  # SDXL reads the first encoder's states before it
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
    """Whether a tensor of a single-file checkpoint is one that SDXL does not need."""
    return _matches(name, _EXTRAS)


def is_extra_of(part: str, name: str) -> bool:
    """Whether a tensor of a file with only one part is one that the part does not need."""
    return _matches(name, _OF_FOLDER[part])


def check_names(path: Path) -> None:
    """Refuse a single-file checkpoint with tensors that are not SDXL's, or with weights that cannot be restored.

    Raises:
        ModelError: it has such tensors; the message names one.
    """
    header = read_header(path)
    refuse_packed(header.tensors, header.metadata, path)
    for name in header.tensors:
        is_known = name in MARKS or is_marker(name) or name.startswith(tuple(PREFIXES.values()))
        if not is_known and not is_extra(name):
            raise unread(path, name)


def unread(path: Path, name: str) -> ModelError:
    """The error for a file with a tensor that nothing reads."""
    if name.startswith("edm_"):
        return ModelError(
            f"{path} has {name}, the mark of a model trained with EDM's noise schedule; take a model with SDXL's own schedule"
        )
    kind = "the scale of a quantised weight that is not there" if is_companion(name) else "no tensor of SDXL"
    return ModelError(
        f"{path} has {name}, which is {kind}; it is another kind of model, or has extra tensors: name an SDXL checkpoint, or "
        "remove the tensor from a copy of this one"
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
