"""Quantised weights of a checkpoint: which kinds can be restored, and how.

| kind | beside `X.weight` | weight |
|---|---|---|
| fp8 or int8 of ComfyUI, old | `X.scale_weight`, `X.scale_input`; a marker `scaled_fp8` | weight x scale |
| fp8 or int8 of ComfyUI | `X.weight_scale`, `X.input_scale`, `X.comfy_quant` | weight x scale |
| int8 of bitsandbytes | `X.SCB`, `X.weight_format` | weight x SCB / 127 |
| fp8, cast as it is | nothing | weight |

A scale is one number, or one for each row. `X.input_scale` is for programs that compute in fp8 and plays no part here.
Everything else is refused by the tensor's name: weights packed into 4 bits, rotated weights, scales of blocks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hakubooru.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import torch

_SCALES: Final = {".scale_weight": 1.0, ".weight_scale": 1.0, ".SCB": 127.0}
"""Ends of the names of scales, with the number that each is divided by."""
_ACTIVATIONS: Final = (".scale_input", ".input_scale")
_FORMAT: Final = ".weight_format"
_ABOUT: Final = ".comfy_quant"
_MARKER: Final = "scaled_fp8"
_METADATA: Final = "_quantization_metadata"
_KINDS: Final = frozenset({"float8_e4m3fn", "float8_e5m2", "int8_tensorwise"})
"""ComfyUI's names of the kinds that can be restored."""
_IDLE: Final = frozenset({"format", "full_precision_matrix_mult"})
"""Settings of ComfyUI's layers that do not change the weight."""
_PACKED: Final = {
    ".absmax": "bitsandbytes' 4 bits (nf4 or fp4)",
    ".nested_absmax": "bitsandbytes' 4 bits (nf4 or fp4)",
    ".quant_map": "bitsandbytes' 4 bits (nf4 or fp4)",
    ".quant_state.": "bitsandbytes' 4 bits (nf4 or fp4)",
    ".qweight": "svdquant, GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".wscales": "svdquant",
    ".weight_scale_2": "nvfp4",
}
"""Parts of the names of tensors that belong to packed weights."""


def refuse_packed(names: Iterable[str], metadata: Mapping[str, str], path: Path) -> None:
    """Refuse a file with weights that cannot be restored, as its header tells.

    Raises:
        ModelError: it has such weights; the message names a tensor and the kind.
    """
    for name in sorted(names):
        for mark, kind in _PACKED.items():
            if name.endswith(mark) or (mark.endswith(".") and mark in name):
                raise _refusal(path, name, f"belongs to weights quantised by {kind}")
    try:
        layers = json.loads(metadata.get(_METADATA, "{}")).get("layers", {})
        for layer, about in layers.items():
            _check_kind({"format": about} if isinstance(about, str) else about, layer, path)
    except (ValueError, AttributeError) as error:
        raise _refusal(path, f"the metadata {_METADATA}", f"cannot be read ({error})") from error


def is_marker(name: str) -> bool:
    """Whether a tensor only says that others are scaled fp8."""
    return name.rpartition(".")[2] == _MARKER


def companions(key: str, names: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that say how a weight was quantised."""
    layer, _, kind = key.rpartition(".")
    if kind != "weight":
        return []
    return [name for end in (*_SCALES, *_ACTIVATIONS, _FORMAT, _ABOUT) if (name := f"{layer}{end}") in names]


def is_companion(name: str) -> bool:
    """Whether a tensor says how another was quantised."""
    return is_marker(name) or name.endswith((*_SCALES, *_ACTIVATIONS, _FORMAT, _ABOUT))


def restore(
    key: str, stored: torch.Tensor, beside: Sequence[str], get: Callable[[str], torch.Tensor], path: Path
) -> torch.Tensor:
    """A weight as it was before it was quantised, fp32. A weight that is not quantised comes back as it is stored.

    Args:
        key: its name.
        stored: the tensor as it is stored in the file.
        beside: the names of its `companions`.
        get: gives a tensor by its name.
        path: the file, for messages.

    Raises:
        ModelError: it was quantised in a way that cannot be undone.
    """
    scales = [name for name in beside if name.endswith(tuple(_SCALES))]
    for name in beside:
        if name.endswith(_ABOUT):
            _check_kind(_about(get(name), name, path), name, path)
        elif name.endswith(_FORMAT) and get(name).any():
            raise _refusal(path, name, "says that the rows of an int8 weight are not in their order")
    if len(scales) > 1:
        raise _refusal(path, scales[1], f"is a second scale of {key}")
    if scales:
        return stored.float() * _scale(get(scales[0]), scales[0], stored, path)
    if not stored.is_floating_point():
        raise _refusal(path, key, f"is stored as {stored.dtype} with no scale beside it")
    return stored


def _scale(scale: torch.Tensor, name: str, stored: torch.Tensor, path: Path) -> torch.Tensor:
    """The scale of a weight: one number, or one for each row."""
    if not scale.is_floating_point():
        raise _refusal(path, name, f"is a scale stored as {scale.dtype}")
    scale = scale.float() / next(divisor for end, divisor in _SCALES.items() if name.endswith(end))
    if scale.numel() == 1:
        return scale.reshape(())
    if scale.numel() != stored.shape[0] or scale.shape[0] != stored.shape[0]:
        shapes = f"of shape {tuple(scale.shape)} for a weight of shape {tuple(stored.shape)}"
        raise _refusal(path, name, f"is a scale {shapes}, neither one number nor one for each row")
    return scale.reshape(-1, *[1] * (stored.dim() - 1))


def _about(tensor: torch.Tensor, name: str, path: Path) -> Any:
    try:
        return json.loads(bytes(tensor.tolist()))
    except (ValueError, TypeError) as error:
        raise _refusal(path, name, f"cannot be read ({error})") from error


def _check_kind(about: Any, name: str, path: Path) -> None:
    kind = about.get("format") if isinstance(about, dict) else about
    if kind not in _KINDS:
        raise _refusal(path, name, f"says that its weight is quantised as {kind}")
    for key, value in about.items():
        if key not in _IDLE and value:
            raise _refusal(path, name, f"says that its weight is quantised with {key} = {value}")


def _refusal(path: Path, name: str, reason: str) -> ModelError:
    return ModelError(
        f"{path}: {name} {reason}, which cannot be trained on; use the checkpoint in fp16, bf16 or fp32"
    )
