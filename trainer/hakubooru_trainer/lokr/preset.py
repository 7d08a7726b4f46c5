"""The layers that an adapter changes, their names in its file, and the sizes of their w1."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from torch import nn

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest
from hakubooru_trainer.model.names import text_name, unet_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hakubooru_trainer.config.options import LokrOptions


class Target(NamedTuple):
    """A layer that is changed."""

    name: str
    """Its name in the file, such as `lora_unet_input_blocks_4_1_proj_in`."""
    part: str
    """Its part of the model: `unet`, `text_encoder` or `text_encoder_2`."""
    module: Any
    factor: int
    """The largest size of w1; 0 for a norm."""


_TEXT_CLASSES: Final = frozenset({"CLIPAttention", "CLIPMLP"})
"""Classes around the layers of text encoders, which may stay in a configuration that does not train them."""


@dataclass(frozen=True)
class Preset:
    """A choice of SDXL's layers, by the classes of the modules around them, with factors."""

    classes: tuple[str, ...]
    """diffusers' classes in the UNet whose layers are changed."""
    names: tuple[str, ...] = ()
    """More modules of the UNet whose layers are changed, by diffusers' names."""
    text_classes: tuple[str, ...] = ()
    """Classes in the text encoders whose layers are changed."""
    factors: Mapping[str, int] = field(default_factory=dict)
    """The size of w1 by class; the innermost class counts."""
    factor: int = 8
    """The size of w1 for layers in no class of `factors`."""
    norms: bool = False
    """Whether norms of the UNet are changed too."""


PRESETS: Final[dict[str, Preset]] = {
    # docs/lyco_config.toml of Kohaku-XL Delta, Epsilon's sibling, with classes named as in diffusers.
    "epsilon": Preset(
        classes=("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"),
        names=("time_embedding", "add_embedding", "conv_in", "conv_out"),
        text_classes=("CLIPAttention", "CLIPMLP"),
        factors={"Attention": 4, "FeedForward": 2},
        norms=True,
    ),
    "attention": Preset(
        classes=("Attention", "FeedForward"), text_classes=("CLIPAttention", "CLIPMLP"), factor=8
    ),
}


def targets(models: Mapping[str, Any], options: LokrOptions) -> list[Target]:
    """The layers that an adapter changes, in the order of the models.

    Args:
        models: `unet`, and the text encoders if they are trained.
        options: the preset, and what differs from it.

    Raises:
        ConfigError: a factor decides for no layer, an exclusion matches none, or the exclusions match all.
    """
    preset = PRESETS[options.preset]
    pairs = [pair for part, model in models.items() for pair in _of_part(part, model, preset, options)]
    _check_factors(models, options, {key for _, key in pairs})
    return _without([target for target, _ in pairs], options)


def layers(models: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Every layer and norm of models that an adapter could change: by its name in files, its part and the module."""
    return {
        name: (part, models[part].get_submodule(module))
        for name, (part, module) in layer_names(models).items()
    }


def layer_names(models: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The names of these layers in their part of the model: by the name in files, the part and the name there."""
    return {
        _file_name(part, name): (part, name)
        for part, model in models.items()
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm))
    }


def _of_part(part: str, model: Any, preset: Preset, options: LokrOptions) -> Iterator[tuple[Target, str]]:
    """The layers of a part, each with the key of lokr.factors that decides on its factor; "" if none does."""
    in_unet = part == "unet"
    wanted = preset.classes if in_unet else preset.text_classes
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    # The first encoder's last layer feeds nothing: SDXL reads the layer before it.
    unused = f".layers.{model.config.num_hidden_layers - 1}." if part == "text_encoder" else None
    for name, module in model.named_modules():
        is_norm = isinstance(module, (nn.GroupNorm, nn.LayerNorm))
        if not is_norm and not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        around = _around(name)
        if not any(kinds[outer] in wanted for outer in around[1:]) and not (
            in_unet and any(outer in preset.names for outer in around)
        ):
            continue
        if is_norm and not (in_unet and preset.norms and options.norms):
            continue
        if unused and unused in f".{name}.":
            continue
        dotted = unet_name(name) if in_unet else text_name(name)
        key, factor = "", 0
        if not is_norm:
            key, factor = _factor(dotted, [kinds[outer] for outer in around], preset, options)
        yield Target(_file_name(part, name), part, module, factor), key


def _file_name(part: str, name: str) -> str:
    dotted = unet_name(name) if part == "unet" else text_name(name)
    prefix = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}[part]
    return f"{prefix}_{dotted.replace('.', '_')}"


def _around(name: str) -> list[str]:
    """A module's name and the names of the modules around it, from the inside out."""
    pieces = name.split(".")
    return [".".join(pieces[:end]) for end in range(len(pieces), 0, -1)]


def _factor(dotted: str, kinds: list[str], preset: Preset, options: LokrOptions) -> tuple[str, int]:
    """The factor of a layer, with the key of lokr.factors that decides on it; "" if it is the preset's."""
    for pattern, factor in options.factors.items():
        if fnmatchcase(dotted, pattern):
            return pattern, factor
    for kind in kinds:
        if kind in options.factors:
            return kind, options.factors[kind]
        if kind in preset.factors:
            return "", preset.factors[kind]
    return "", preset.factor


def _check_factors(models: Mapping[str, Any], options: LokrOptions, used: Collection[str]) -> None:
    """Refuse a key of lokr.factors that decides for no layer: the run would train other factors than it says."""
    kinds = {type(module).__name__ for model in models.values() for module in model.modules()}
    known = kinds if "text_encoder" in models else kinds | _TEXT_CLASSES
    for key in (key for key in options.factors if key not in used):
        if key.isidentifier() and key not in known:
            raise ConfigError(
                f"lokr.factors has {key!r}, which is not a class around any layer; {nearest(key, sorted(kinds))}"
            )
        if key in kinds or key not in known:
            raise ConfigError(
                f"lokr.factors has {key!r}, which decides for no layer that is trained; write a class such as FeedForward, or a "
                "pattern of names such as middle_block.1.proj_in. The first pattern that matches comes before classes, and an inner "
                "class, also one of the preset, before an outer one"
            )


def _without(layers: list[Target], options: LokrOptions) -> list[Target]:
    for pattern in options.exclude:
        rest = [target for target in layers if not fnmatchcase(target.name, pattern)]
        if len(rest) == len(layers):
            raise ConfigError(
                f"lokr.exclude has {pattern!r}, which matches no layer; write names as in the file, such as {layers[0].name}"
            )
        if not rest:
            raise ConfigError("lokr.exclude leaves no layer to train; exclude fewer")
        layers = rest
    return layers
