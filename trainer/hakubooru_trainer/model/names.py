"""Where each tensor of a diffusers SDXL stands in a single-file checkpoint, Stability's own (SGM) layout.

The map goes one way, from diffusers' names: a reader asks for the place of every tensor that it needs, and a
writer puts every tensor in its place. It holds for any model of SDXL's structure, whatever its widths and depths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_LAYERS: Final = 2  # resnets in a block of the UNet's way down
_VAE_LEVELS: Final = 4


@dataclass(frozen=True)
class Place:
    """A place of a tensor in a single file."""

    key: str
    third: int | None = None
    """Which third of the rows it is, if query, key and value are one tensor there."""
    transposed: bool = False
    convolution: bool = False
    """Whether a matrix here is a 1 by 1 convolution there."""


_RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS: Final = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION: Final = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OLD_ATTENTION: Final = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""diffusers' names of a VAE's attention layers before version 0.17."""
_VAE: Final = "first_stage_model."
TEXT_2_LAYERS: Final = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
"""The layers of a block of the second text encoder, with their names in OpenCLIP's layout."""
_TEXT_2_ENDS: Final = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}


def unet_name(name: str) -> str:
    """The SGM name of a module or a tensor of the UNet, without the prefix `model.diffusion_model.`."""
    for ours, theirs in _UNET_ENDS.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)(.*)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}{_inner(match[1], match[3])}"
    match = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)(.*)", name)
    if match is None:
        raise KeyError(name)
    way, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{(_LAYERS + 1) * (block + 1)}.0.op{rest.removeprefix('.conv')}"
    if kind == "upsamplers":
        return f"output_blocks.{(_LAYERS + 1) * block + _LAYERS}.2{rest}"
    index = (_LAYERS + 1) * block + layer + (way == "down")
    side = "input_blocks" if way == "down" else "output_blocks"
    return f"{side}.{index}.{int(kind == 'attentions')}{_inner(kind, rest)}"


def text_name(name: str) -> str:
    """A text encoder's name as all other tools have it; transformers 5 drops `text_model.` from the first encoder's names."""
    return name if name.startswith(("text_model", "text_projection")) else f"text_model.{name}"


def unet_place(name: str) -> Place:
    """The place of a tensor of the UNet."""
    return Place(f"model.diffusion_model.{unet_name(name)}")


def text_place(name: str) -> Place:
    """The place of a tensor of the first text encoder."""
    return Place(f"conditioner.embedders.0.transformer.{text_name(name)}")


def text_2_place(name: str) -> Place:
    """The place of a tensor of the second text encoder, which has OpenCLIP's layout there."""
    prefix = "conditioner.embedders.1.model."
    name = text_name(name)
    if name in _TEXT_2_ENDS:
        return Place(prefix + _TEXT_2_ENDS[name])
    if name == "text_projection.weight":
        return Place(f"{prefix}text_projection", transposed=True)
    match = re.match(r"text_model\.encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", name)
    if match is None:
        raise KeyError(name)
    layer, inner, kind = match.groups()
    block = f"{prefix}transformer.resblocks.{layer}."
    if inner in TEXT_2_LAYERS:
        return Place(f"{block}{TEXT_2_LAYERS[inner]}.{kind}")
    third = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj").index(inner)
    return Place(f"{block}attn.in_proj_{kind}", third=third)


def vae_place(name: str) -> Place:
    """The place of a tensor of the VAE."""
    prefix = _VAE
    match = re.match(r"(encoder|decoder)\.(.*)", name)
    if match is None:  # quant_conv, post_quant_conv
        return Place(prefix + name)
    side, rest = match.groups()
    prefix += f"{side}."
    if rest.startswith("conv_norm_out"):
        return Place(prefix + rest.removeprefix("conv_"))
    if inner := re.match(r"mid_block\.resnets\.(\d)\.(.*)", rest):
        return Place(f"{prefix}mid.block_{int(inner[1]) + 1}.{inner[2]}")
    if inner := re.match(r"mid_block\.attentions\.0\.(.*)\.(weight|bias)", rest):
        matrix = inner[2] == "weight" and inner[1] != "group_norm"
        return Place(f"{prefix}mid.attn_1.{_VAE_ATTENTION[inner[1]]}.{inner[2]}", convolution=matrix)
    if inner := re.match(r"(down|up)_blocks\.(\d)\.(resnets|downsamplers|upsamplers)\.(\d)\.(.*)", rest):
        way, level, kind, layer, tail = inner.groups()
        level = int(level) if way == "down" else _VAE_LEVELS - 1 - int(level)
        if kind != "resnets":
            return Place(f"{prefix}{way}.{level}.{way}sample.{tail}")
        return Place(f"{prefix}{way}.{level}.block.{layer}.{tail.replace('conv_shortcut', 'nin_shortcut')}")
    return Place(prefix + rest)  # conv_in, conv_out


def vae_file_place(name: str, names: Collection[str]) -> Place:
    """The place of a tensor of the VAE in a file: a whole checkpoint, or the VAE alone, with SGM's or diffusers' names."""
    place = vae_place(name)
    if any(key.startswith(_VAE) for key in names):
        return place
    bare = replace(place, key=place.key.removeprefix(_VAE))
    return bare if bare.key in names else folder_place(name, names)


def folder_place(name: str, names: Collection[str]) -> Place:
    """The place of a tensor in a file of diffusers' layout: under its own name, or under its name in another version."""
    old = re.sub(
        r"\.(to_q|to_k|to_v|to_out\.0)\.(?=weight$|bias$)", lambda m: f".{_OLD_ATTENTION[m[1]]}.", name
    )
    for key in (name, text_name(name), name.removeprefix("text_model."), old):
        if key in names:
            return Place(key)
    return Place(name)


PARTS: Final[dict[str, Callable[[str], Place]]] = {
    "unet": unet_place,
    "vae": vae_place,
    "text_encoder": text_place,
    "text_encoder_2": text_2_place,
}
"""The function that gives each part's places, by the name of the part's folder."""

PREFIXES: Final = {
    "unet": "model.diffusion_model.",
    "vae": _VAE,
    "text_encoder": "conditioner.embedders.0.",
    "text_encoder_2": "conditioner.embedders.1.",
}
"""The beginning of each part's names in a single-file checkpoint."""


def _inner(kind: str, rest: str) -> str:
    if kind != "resnets":
        return rest
    head, _, tail = rest.removeprefix(".").partition(".")
    if not head:
        return ""
    return f".{_RESNET[head]}" + (f".{tail}" if tail else "")
