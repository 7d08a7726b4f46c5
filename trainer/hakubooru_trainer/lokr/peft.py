"""Adapters of PEFT, and their names, which diffusers uses too.

    DIR/unet/               adapter_config.json and adapter_model.safetensors of a LoRA, or of a LoKr with one factor
    DIR/unet/factor_4/      those of a LoKr with several factors: PEFT has one for all layers, so there is a folder for each
    DIR/text_encoder/, DIR/text_encoder_2/

PEFT's LoKr (peft 0.21, `tuners/lokr`) adds w1 ⊗ w2 · alpha / r. It derives the shapes from the layer and the factor, and holds w2
in full where r is at least half of its larger side; here r is so large, and alpha equals it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from lycoris.functional import factorization

from hakubooru.errors import ModelError, OtherModelError
from hakubooru_trainer.lokr.lora import DOWN, UP
from hakubooru_trainer.model.names import text_name
from hakubooru_trainer.model.single_file import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from torch import Tensor

    from hakubooru_trainer.lokr.layers import Layer
    from hakubooru_trainer.lokr.lora import Lora

    Names: TypeAlias = Mapping[str, tuple[str, str]]
    """The part of the model and the name of the module there, by a layer's name in SGM's files."""

PARTS: Final = ("unet", "text_encoder", "text_encoder_2")
CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
DIFFUSERS_CONFIG: Final = "lora_adapter_metadata"
"""The key in the metadata of diffusers' files that has PEFT's configuration, with the part in front of each key."""
_PREFIX: Final = "base_model.model."
_OWN: Final = {
    f"{start}.weight": own
    for own, starts in (
        (DOWN, ("lora_A", "lora.down", "lora_linear_layer.down")),
        (UP, ("lora_B", "lora.up", "lora_linear_layer.up")),
    )
    for start in starts
}
"""A LoRA's matrices by PEFT's names, and by those that diffusers' training scripts give the attention, in the UNet and the encoders."""
_NAME: Final = re.compile(
    r"(?P<part>unet|text_encoder_2|text_encoder)\.(?P<module>.+)\."
    rf"(?P<own>{'|'.join(map(re.escape, _OWN))}|lokr_w1|lokr_w2|alpha|scalar)"
)
_FACTORS: Final = (*range(1, 65), -1)
"""The factors that are tried for a LoKr; -1 is near the square root of each side."""


class Folder(NamedTuple):
    """An adapter of PEFT."""

    place: str
    """Its folder below the one for all, such as `unet`."""
    config: dict[str, Any]
    tensors: dict[str, Tensor]


def lora_folders(layers: Mapping[str, Lora], names: Names) -> Iterator[Folder]:
    """The folders of a LoRA, one for each part of the model. The scales are in the configurations, and no number changes."""
    for part in PARTS:
        own = {names[layer][1]: lora for layer, lora in layers.items() if names[layer][0] == part}
        if not own:
            continue
        rank = max(lora.rank for lora in own.values())
        config = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": rank,
            "rank_pattern": {
                _exactly(module): lora.rank for module, lora in own.items() if lora.rank != rank
            },
            "alpha_pattern": {
                _exactly(module): lora.alpha for module, lora in own.items() if lora.alpha != rank
            },
            "target_modules": sorted(own),
            "bias": "none",
        }
        tensors = {
            f"{_PREFIX}{module}.lora_{side}.weight": tensor
            for module, lora in own.items()
            for side, tensor in (("A", lora.down), ("B", lora.up))
        }
        yield Folder(part, config, tensors)


def lokr_folders(
    layers: Mapping[str, Layer], in_model: Mapping[str, tuple[str, Any]], names: Names
) -> Iterator[Folder]:
    """The folders of a LoKr, one for each part of the model, or several where it has several factors. No number changes.

    Args:
        layers: the layers by SGM's names, norms left out.
        in_model: the part and the module of each layer of the model.
        names: the part of each layer, and its name there.

    Raises:
        ModelError: PEFT divides a layer into other shapes, whatever the factor.
    """
    for part in PARTS:
        own = {layer: tensors for layer, tensors in layers.items() if names[layer][0] == part}
        groups = _by_factor(
            {layer: _factors(layer, tensors, in_model[layer][1]) for layer, tensors in own.items()}
        )
        for factor, members in groups.items():
            rank = max(max(own[layer]["lokr_w2"].shape[:2]) for layer in members)
            config = {
                "peft_type": "LOKR",
                "r": rank,
                "alpha": rank,
                "decompose_factor": factor,
                "decompose_both": False,
                "target_modules": sorted(names[layer][1] for layer in members),
            }
            tensors = {
                f"{_PREFIX}{names[layer][1]}.{name}": tensor
                for layer in members
                for name, tensor in _shaped(own[layer], in_model[layer][1])
            }
            yield Folder(part if len(groups) == 1 else f"{part}/factor_{factor}", config, tensors)


def lora_in_one(layers: Mapping[str, Lora], names: Names) -> dict[str, Tensor]:
    """The tensors of a LoRA by diffusers' names, with the scales multiplied into lora_B; diffusers' files have no alpha."""
    tensors: dict[str, Tensor] = {}
    for layer, lora in layers.items():
        part, module = names[layer]
        place = f"{part}.{module if part == 'unet' else text_name(module)}"
        up = lora.up if lora.scale == 1 else lora.up.float() * lora.scale
        tensors |= {f"{place}.lora_A.weight": lora.down, f"{place}.lora_B.weight": up}
    return tensors


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The tensors of adapters of PEFT, with the part of the model in front of their names.

    Raises:
        ModelError: there is none, or one cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        for path in sorted((folder / part).glob(WEIGHTS)) + sorted((folder / part).glob(f"*/{WEIGHTS}")):
            with open_file(path) as opened:
                stored = {
                    f"{part}.{name.removeprefix(_PREFIX)}": opened.get_tensor(name)
                    for name in opened.keys()  # noqa: SIM118 - no mapping
                }
            if twice := stored.keys() & tensors.keys():
                raise ModelError(
                    f"{path} changes {min(twice)}, as another adapter beside it does; convert them one by one"
                )
            tensors |= with_scales(stored, {part: _config(path.with_name(CONFIG))}, str(path))
    if not tensors:
        raise ModelError(f"{folder} has no unet/{WEIGHTS}; name a file, or the folder of a PEFT adapter")
    return tensors


def with_scales(
    tensors: Mapping[str, Tensor], configs: Mapping[str, Mapping[str, Any]], where: str
) -> dict[str, Tensor]:
    """Tensors with the scales of their configuration beside them: `alpha` of a LoRA, `scalar` of a LoKr.

    Args:
        tensors: the tensors, with the part of the model in front of their names.
        configs: PEFT's configuration of each part that has one.
        where: the file, for messages.

    Raises:
        ModelError: a configuration is wrong.
    """
    scaled = dict(tensors)
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None or match["part"] not in configs:
            continue
        own = _OWN.get(match["own"], match["own"])
        if own not in {DOWN, "lokr_w1"}:
            continue
        place = f"{match['part']}.{match['module']}"
        try:
            scale = _scale(configs[match["part"]], match["module"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError, re.error) as error:
            raise ModelError(
                f"{where}: its configuration does not say the rank and alpha of {place} ({error!r}); export the adapter again"
            ) from error
        if own == DOWN:
            scaled[f"{place}.alpha"] = torch.tensor(scale * tensor.shape[0], dtype=torch.float64)
        elif scale != 1:
            scaled[f"{place}.scalar"] = torch.tensor(scale, dtype=torch.float64)
    return scaled


def diffusers_configs(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """PEFT's configuration of each part that the metadata of a file of diffusers has.

    Raises:
        ModelError: it cannot be read.
    """
    if DIFFUSERS_CONFIG not in metadata:
        return {}
    values = _parsed(metadata[DIFFUSERS_CONFIG], f"the metadata {DIFFUSERS_CONFIG}")
    configs = {
        part: {
            key.removeprefix(f"{part}."): value for key, value in values.items() if key.startswith(f"{part}.")
        }
        for part in PARTS
    }
    return {part: config for part, config in configs.items() if config}


def sgm_named(tensors: Mapping[str, Tensor], names: Names, where: str) -> dict[str, Tensor]:
    """Tensors by SGM's names, from names that have the part of the model in front; other names stay.

    Args:
        tensors: the tensors by PEFT's or diffusers' names.
        names: the layers of the model.
        where: the file, for messages.

    Raises:
        OtherModelError: the model does not have a layer.
    """
    layers = {
        (part, module if part == "unet" else text_name(module)): layer
        for layer, (part, module) in names.items()
    }
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            renamed[name] = tensor
            continue
        part, module = match["part"], match["module"]
        layer = layers.get((part, module if part == "unet" else text_name(module)))
        if layer is None:
            raise OtherModelError(
                f"{where} changes {name}, which the model does not have; it was made for another model"
            )
        renamed[f"{layer}.{_OWN.get(match['own'], match['own'])}"] = tensor
    return renamed


def first_side(size: int, factor: int) -> int:
    """The size of w1 along one side of a layer, by PEFT's `factorization`.

    It is LyCORIS's, but that a factor which divides the size is taken even where it is the larger one of the two.

    Args:
        size: the inputs or outputs of the layer.
        factor: the factor; -1 is near the square root of the size.
    """
    return factor if factor > 0 and size % factor == 0 else int(factorization(size, factor)[0])


def _exactly(module: str) -> str:
    """A pattern of PEFT for one module."""
    return f"^{re.escape(module)}"


def _scale(config: Mapping[str, Any], module: str) -> float:
    """The factor of a module's change, alpha / r, or alpha / √r in a rank-stabilised LoRA."""
    is_lokr = config.get("peft_type") == "LOKR"
    rank = _of_module(config, "rank_pattern", module, config["r"])
    alpha = _of_module(config, "alpha_pattern", module, config["alpha" if is_lokr else "lora_alpha"])
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    if not math.isfinite(scale):
        raise ValueError(scale)
    return scale


def _of_module(config: Mapping[str, Any], key: str, module: str, default: Any) -> float:
    """A number by the first pattern that matches a module, as PEFT's `get_pattern_key` finds it."""
    patterns = config.get(key) or {}
    return float(next((patterns[one] for one in patterns if re.match(rf"(.*\.)?({one})$", module)), default))


def _config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); PEFT writes it beside {WEIGHTS}") from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{where} is not JSON ({error}); export the adapter again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{where} is not a table; export the adapter again")
    return values


def _by_factor(fits: Mapping[str, frozenset[int]]) -> dict[int, list[str]]:
    """Layers by one of the factors that fit them: as few factors as a greedy choice finds."""
    groups: dict[int, list[str]] = {}
    rest = dict(fits)
    while rest:
        counts = Counter(factor for factors in rest.values() for factor in factors)
        factor = max(counts, key=lambda one: (counts[one], -abs(one)))
        groups[factor] = [layer for layer, factors in rest.items() if factor in factors]
        rest = {layer: factors for layer, factors in rest.items() if factor not in factors}
    return groups


def _factors(layer: str, tensors: Layer, module: Any) -> frozenset[int]:
    outs, ins = module.weight.shape[:2]
    w1 = tuple(tensors["lokr_w1"].shape)
    factors = _fitting(outs, ins, w1)
    if not factors:
        raise ModelError(
            f"{layer} has a w1 of shape {w1}, and no factor of PEFT's LoKr divides a layer of {outs} by {ins} so; "
            "convert it to a LoRA: --rank 64"
        )
    return factors


@cache
def _fitting(outs: int, ins: int, w1: Sequence[int]) -> frozenset[int]:
    """The factors for which PEFT divides a layer into this shape of w1."""
    return frozenset(
        factor for factor in _FACTORS if (first_side(outs, factor), first_side(ins, factor)) == w1
    )


def _shaped(layer: Layer, module: Any) -> Iterator[tuple[str, Tensor]]:
    """The factors of a layer, with w2 in as many dimensions as the weight has."""
    w2 = layer["lokr_w2"]
    yield "lokr_w1", layer["lokr_w1"]
    yield "lokr_w2", w2.reshape(*w2.shape[:2], *module.weight.shape[2:])
