"""The layers of an adapter's file: reading them, checking that they fit a model, and the change that they make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import ModelError, OtherModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from torch import Tensor

    Layer: TypeAlias = Mapping[str, Tensor]
    """The tensors of a layer by their own names: `lokr_w1`, `lokr_w2`, `alpha`."""

LOKR: Final = frozenset({"lokr_w1", "lokr_w2", "alpha", "dora_scale"})
NORM: Final = frozenset({"w_norm", "b_norm"})

_OTHER_KINDS: Final = {
    r"lora[._](up|down|mid|A|B)\b": "a plain LoRA",
    r"lora_magnitude_vector": "a LoRA with weight decomposition",
    r"lokr_(w1|w2)_[ab]$|lokr_t[12]$": "a LoKr of low rank",
    r"hada_": "a LoHa",
    r"oft_": "an OFT",
    r"on_input$": "an (IA)^3",
    r"\.[ab][12]\.weight$": "a GLoRA",
    r"\.diff(_b)?$|\.set_weight$|\.reshape_weight$": "a difference of whole weights",
    r"^bundle_emb|^emb_params|string_to_param": "a textual inversion",
}
"""Kinds of adapters that are not read here, by patterns of their tensors' names."""

_OTHER_NAMES: Final = {
    r"(model\.diffusion_model|first_stage_model|conditioner|cond_stage_model)\.": "as in a whole checkpoint",
    r"lora_te_": "for SD 1 or 2, which have one text encoder",
    r"(lora_unet|lora_transformer|lycoris)_(double_blocks|single_blocks|joint_blocks|single_transformer_blocks|transformer_blocks)_|lora_transformer_": "for Flux, SD 3 or another transformer",
    r"lora_unet_(down_blocks|up_blocks|mid_block|time_embedding|add_embedding|conv_in|conv_out|conv_norm_out)(_|$)": "as diffusers names them",
    r"lycoris_": "as LyCORIS names those of a model by itself",
    r"(unet|text_encoder|text_encoder_2|transformer|diffusion_model|base_model)\.": "as PEFT or diffusers names them",
    r"(?!lora_(unet|te1|te2)_)": "in a way of another program",
}
"""Naming schemes of other programs, by patterns of how names begin; the first match counts."""


def by_layer(tensors: Mapping[str, Tensor], where: str) -> dict[str, dict[str, Tensor]]:
    """Group the tensors of an adapter by layer, with `scalar` multiplied into w1.

    Args:
        tensors: the tensors by their names in the file.
        where: the file, for messages.

    Raises:
        ModelError: there is no layer, or a tensor of another kind of adapter; the message names the tensor.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        for pattern, kind in _OTHER_KINDS.items():
            if re.search(pattern, name):
                raise ModelError(
                    f"{where}: {name} belongs to {kind}; only LoKr of full matrices (lokr_w1, lokr_w2) and norms are read "
                    "here: use it with the program that made it"
                )
        layer, _, own = name.rpartition(".")
        if own not in LOKR | NORM | {"scalar"}:
            check_names([layer], where)
            raise ModelError(
                f"{where}: {name} is not a tensor of a LoKr of full matrices, nor of a norm; use it with the program that made it"
            )
        layers.setdefault(layer, {})[own] = tensor
    if not layers:
        raise ModelError(f"{where} holds no layer; name the file of an adapter")
    for layer, some in layers.items():
        if (scalar := some.get("scalar")) is None:
            continue
        if scalar.numel() != 1:
            raise ModelError(
                f"{where}: {layer}.scalar is of shape {tuple(scalar.shape)}; it must be one number"
            )
        if "lokr_w1" in some:
            some["lokr_w1"] = some["lokr_w1"].float() * some.pop("scalar").float().reshape(())
    return layers


def check_names(layers: Iterable[str], where: str) -> None:
    """Refuse layers with names of other programs.

    Raises:
        ModelError: a layer has such a name.
    """
    for layer in sorted(layers):
        if names := _names_of(layer):
            raise ModelError(
                f"{where} names its layers {names}: {layer}; hakubooru reads SGM's names, such as "
                "lora_unet_input_blocks_4_1_proj_in"
            )


def check_known(layers: Iterable[str], in_model: Collection[str], where: str, model: str) -> None:
    """Refuse layers that a model does not have, with the reason.

    Args:
        layers: the names of the adapter's layers.
        in_model: the names of the model's layers.
        where: the adapter's file, for messages.
        model: the model, for messages.

    Raises:
        ModelError: the layers have names of other programs.
        OtherModelError: the model does not have one of the layers.
    """
    unknown = sorted(layer for layer in layers if layer not in in_model)
    check_names(unknown, where)
    for layer in unknown:
        raise OtherModelError(
            f"{where} changes {layer}, which {model} does not have; it was made for another model"
        )


def check_fits(
    layer: str, tensors: Layer, weight: Sequence[int], bias: Sequence[int] | None, where: str
) -> None:
    """Refuse a layer that is incomplete, or whose tensors do not fit the model's.

    Args:
        layer: its name.
        tensors: its tensors, from `by_layer`.
        weight: the shape of the model's weight.
        bias: the shape of the model's bias, or None.
        where: the adapter's file, for messages.

    Raises:
        ModelError: the layer is incomplete.
        OtherModelError: it does not fit.
    """
    _check_whole(layer, tensors, where)
    expected = {"w_norm": weight, "b_norm": bias}
    for own in NORM & tensors.keys():
        shape = expected[own]
        if shape is None:
            raise OtherModelError(
                f"{where}: {layer}.{own} changes a bias, but the model's layer has none; it was made for another model"
            )
        if list(tensors[own].shape) != list(shape):
            raise _misfit(where, f"{layer}.{own}", tensors[own].shape, shape)
    if "lokr_w1" not in tensors:
        return
    w1, w2 = tensors["lokr_w1"], tensors["lokr_w2"]
    if w1.dim() != 2 or w2.dim() not in {2, 4}:
        raise ModelError(
            f"{where}: {layer}.lokr_w1 and lokr_w2 are of shapes {tuple(w1.shape)} and {tuple(w2.shape)}; w1 must be a matrix, and "
            "w2 a matrix or the weight of a convolution"
        )
    product = [w1.shape[0] * w2.shape[0], w1.shape[1] * w2.shape[1], *w2.shape[2:]]
    check_size(f"{layer}.lokr_w1 ⊗ lokr_w2", product, weight, where)
    scale = tensors.get("dora_scale")
    if scale is not None and _dora_axis(scale, weight) is None:
        raise ModelError(
            f"{where}: {layer}.dora_scale is of shape {tuple(scale.shape)}; for a weight of shape {tuple(weight)} it must have "
            f"{weight[0]} numbers, one for each output, or 1 x {weight[1]}, one for each input"
        )


def fitting_layers(
    tensors: Mapping[str, Tensor], modules: Mapping[str, tuple[str, Any]], where: str, instead: str
) -> dict[str, dict[str, Tensor]]:
    """The layers of an adapter of full matrices and norms that fits a model, by name.

    Args:
        tensors: the tensors by their names in the file.
        modules: the part and the module of each layer of the model.
        where: the adapter's file, for messages.
        instead: what to do with an adapter that decomposes weights, for the message.

    Raises:
        ModelError: it has other names, does not fit, is incomplete, or has weight decomposition.
    """
    layers = by_layer(tensors, where)
    check_known(layers, modules, where, "the model")
    for layer, own in layers.items():
        module = modules[layer][1]
        bias = getattr(module, "bias", None)
        check_fits(layer, own, module.weight.shape, None if bias is None else bias.shape, where)
        if "dora_scale" in own:
            raise ModelError(f"{where}: {layer}.dora_scale decomposes the weight{instead}")
    return layers


def check_size(name: str, change: Sequence[int], weight: Sequence[int], where: str) -> None:
    """Refuse the change of a layer that has another shape than its weight.

    Args:
        name: what makes the change, for messages.
        change: the shape of the change.
        weight: the shape of the model's weight.
        where: the adapter's file, for messages.

    Raises:
        OtherModelError: the shapes differ, the ones of a 1 by 1 convolution aside.
    """
    if _bare(change) != _bare(weight):
        raise _misfit(where, name, change, weight)


def changed(weight: Tensor, tensors: Layer, scale: float) -> Tensor:
    """A weight with a share of a layer's change added, fp32.

    With `dora_scale` m the whole change is (W + ΔW) m / ‖W + ΔW‖, with the norm over each output's or each input's weights, as in
    LyCORIS. A share of it lies on the line between W and that, as in ComfyUI and the sd-webui.

    Args:
        weight: the model's weight.
        tensors: the tensors of the layer, which fit.
        scale: the share of the change.
    """
    weight = weight.float()
    w1, w2 = tensors["lokr_w1"].float(), tensors["lokr_w2"].float()
    change = torch.kron(w1.reshape(*w1.shape, *[1] * (w2.dim() - 2)), w2).reshape(weight.shape)
    magnitude = tensors.get("dora_scale")
    if magnitude is not None:
        axis = _dora_axis(magnitude, weight.shape)
        others = [dim for dim in range(weight.dim()) if dim != axis]
        whole = weight + change
        norm = torch.linalg.vector_norm(whole, dim=others, keepdim=True) + torch.finfo(torch.float32).eps
        change = whole * (magnitude.float().reshape(norm.shape) / norm) - weight
    return weight + scale * change


def _check_whole(layer: str, tensors: Layer, where: str) -> None:
    kinds = tensors.keys()
    missing = {"lokr_w1", "lokr_w2"} - kinds
    if kinds & NORM and kinds - NORM:
        raise ModelError(
            f"{where}: {layer} is a norm, but also has {min(kinds - NORM)}, which belongs to a LoKr; the file is damaged"
        )
    if not kinds & NORM and missing:
        raise ModelError(
            f"{where}: {layer} has {', '.join(sorted(kinds))} and no {min(missing)}; it changes nothing, or the file is incomplete"
        )


def _names_of(layer: str) -> str:
    """The naming scheme of another program that a layer's name follows; empty if it follows ours."""
    return next((names for pattern, names in _OTHER_NAMES.items() if re.match(pattern, layer)), "")


def _misfit(where: str, name: str, shape: Sequence[int], wanted: Sequence[int]) -> OtherModelError:
    return OtherModelError(
        f"{where}: {name} is of shape {tuple(shape)}, but the model's weight is of shape {tuple(wanted)}; "
        "it was made for a model of another size"
    )


def _dora_axis(scale: Tensor, weight: Sequence[int]) -> int | None:
    """The axis of a weight that the norms are given along: 0 for outputs, 1 for inputs, None if they fit neither."""
    bare = _bare(scale.shape)
    if bare in ([weight[0], 1], [weight[0]]):
        return 0
    return 1 if bare == [1, weight[1]] else None


def _bare(shape: Sequence[int]) -> list[int]:
    """A shape without the two ones of a 1 by 1 convolution."""
    return list(shape[:2]) if all(size == 1 for size in shape[2:]) else list(shape)
