"""Plain LoRAs: the best one of a rank for a LoKr's change, and their names in files of three programs.

lora        SGM's names, for ComfyUI and the sd-webui: lora_unet_…_to_q.lora_down.weight, .lora_up.weight, .alpha
diffusers   diffusers' names in one file: unet.….to_q.lora_A.weight, .lora_B.weight
peft        PEFT's names in a folder for each part of the model: base_model.model.….to_q.lora_A.weight, .lora_B.weight
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from hakubooru.errors import ModelError
from hakubooru_trainer.model.names import text_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from torch import Tensor

    from hakubooru_trainer.lokr.layers import Layer

    Names: TypeAlias = Mapping[str, tuple[str, str]]
    """The part of the model and the name of the module there, by a layer's name in SGM's files."""

_PEFT: Final = "base_model.model."
_KOHYA: Final = re.compile(r"(?P<layer>.+)\.(?P<own>lora_down\.weight|lora_up\.weight|alpha)")
_PARTS: Final = re.compile(
    r"(?P<part>unet|text_encoder_2|text_encoder)\.(?P<module>.+)\.lora_(?P<side>A|B)\.weight"
)


class Lora(NamedTuple):
    """The change up · down · scale of a layer."""

    down: Tensor
    """(rank, inputs) of a linear layer, (rank, inputs, height, width) of a convolution."""
    up: Tensor
    """(outputs, rank), or (outputs, rank, 1, 1)."""
    scale: float

    @property
    def rank(self) -> int:
        """The rank."""
        return self.down.shape[0]


class Nearest(NamedTuple):
    """The LoRA nearest to a layer's change."""

    lora: Lora
    lost: float
    """The squared Frobenius norm of what it lacks of the change."""
    whole: float
    """The squared Frobenius norm of the change."""


def nearest_lora(layer: Layer, rank: int) -> Nearest:
    """The LoRA of a rank that is nearest to a LoKr's change w1 ⊗ w2 in the Frobenius norm, fp32 (Eckart and Young, 1936).

    The singular values of w1 ⊗ w2 are the products of those of its factors, and so are the vectors (Van Loan, "The ubiquitous
    Kronecker product", 2000): the large product need not be decomposed.

    Args:
        layer: `lokr_w1`, (a, b), and `lokr_w2`, (c, d) or (c, d, height, width).
        rank: the rank; less where the change itself has less.
    """
    w1, w2 = layer["lokr_w1"].double(), layer["lokr_w2"].double()
    u1, s1, v1 = torch.linalg.svd(w1, full_matrices=False)
    u2, s2, v2 = torch.linalg.svd(w2.flatten(1), full_matrices=False)
    values = torch.outer(s1, s2).flatten()
    order = values.argsort(descending=True)
    taken = order[:rank]
    first, second = taken // len(s2), taken % len(s2)
    root = values[taken].sqrt()
    up = torch.einsum("an,cn->acn", u1[:, first], u2[:, second]).flatten(0, 1) * root
    down = torch.einsum("nb,nd->nbd", v1[first], v2[second]).flatten(1) * root[:, None]
    if w2.dim() == 4:
        up, down = up[:, :, None, None], down.reshape(len(taken), -1, *w2.shape[2:])
    squares = values**2
    lora = Lora(down.float().contiguous(), up.float().contiguous(), 1.0)
    return Nearest(lora, float(squares[order[rank:]].sum()), float(squares.sum()))


def read_lora(tensors: Mapping[str, Tensor], names: Names, where: str) -> dict[str, Lora]:
    """The layers of a LoRA by SGM's names, from any of the three namings; empty if the tensors are no LoRA's.

    Args:
        tensors: the tensors by their names in the file; names of PEFT have the part of the model in front.
        names: the layers of the model.
        where: the file, for messages.

    Raises:
        ModelError: a layer is incomplete, or the model does not have it.
    """
    modules = {
        (part, text_name(module) if part != "unet" else module): name
        for name, (part, module) in names.items()
    }
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := _PARTS.fullmatch(name.replace(f".{_PEFT}", ".")):
            part, module = match["part"], match["module"]
            layer = modules.get((part, text_name(module) if part != "unet" else module))
            own = {"A": "lora_down.weight", "B": "lora_up.weight"}[match["side"]]
        elif match := _KOHYA.fullmatch(name):
            layer, own = match["layer"], match["own"]
            layer = layer if layer in names else None
        else:
            continue
        if layer is None:
            raise ModelError(
                f"{where} changes {name}, which the model does not have; it was made for another model"
            )
        layers.setdefault(layer, {})[own] = tensor
    return {layer: _whole(layer, some, where) for layer, some in layers.items() if some.keys() != {"alpha"}}


def write_lora(layers: Mapping[str, Lora], names: Names, to: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a LoRA's file.

    Args:
        layers: the layers by SGM's names.
        names: the layers of the model.
        to: `lora`, `diffusers` or `peft`, whose names have the part of the model in front.
        dtype: the precision of the file.
    """
    return {
        name: tensor.to(dtype).contiguous()
        for layer, lora in layers.items()
        for name, tensor in _tensors(layer, lora, names, to)
    }


def peft_config(layers: Mapping[str, Lora], names: Names, part: str) -> str:
    """PEFT's `adapter_config.json` for a part of the model; the tensors have the scale in them."""
    ranks = {names[layer][1]: lora.rank for layer, lora in layers.items() if names[layer][0] == part}
    rank = max(ranks.values())
    others = {module: own for module, own in ranks.items() if own != rank}
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
        "bias": "none",
    }
    return json.dumps(config, indent=1) + "\n"


def _tensors(layer: str, lora: Lora, names: Names, to: str) -> Iterator[tuple[str, Tensor]]:
    if to == "lora":
        yield f"{layer}.lora_down.weight", lora.down
        yield f"{layer}.lora_up.weight", lora.up
        yield f"{layer}.alpha", torch.tensor(lora.scale * lora.rank)
        return
    part, module = names[layer]
    place = (
        f"{part}.{_PEFT}{module}"
        if to == "peft"
        else f"{part}.{module if part == 'unet' else text_name(module)}"
    )
    yield f"{place}.lora_A.weight", lora.down
    yield f"{place}.lora_B.weight", lora.up if lora.scale == 1 else lora.up.float() * lora.scale


def _whole(layer: str, tensors: Mapping[str, Tensor], where: str) -> Lora:
    for own in ("lora_down.weight", "lora_up.weight"):
        if own not in tensors:
            raise ModelError(f"{where}: {layer} has no {own}; the file is incomplete")
    down, up = tensors["lora_down.weight"], tensors["lora_up.weight"]
    if down.dim() not in {2, 4} or up.shape[1] != down.shape[0]:
        raise ModelError(
            f"{where}: {layer} has matrices of shapes {tuple(down.shape)} and {tuple(up.shape)}, which do not fit each other"
        )
    alpha = tensors.get("alpha")
    scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
    if not math.isfinite(scale):
        raise ModelError(
            f"{where}: {layer}.alpha is {float(alpha)}; write a finite number" if alpha is not None else where
        )
    return Lora(down, up, scale)
