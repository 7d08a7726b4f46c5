"""Which layers an adapter changes, under which name each stands in its file, and the size of its w1."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from torch import nn

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest
from hakubooru_trainer.model.names import text_name, unet_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakubooru_trainer.config.options import LokrOptions


class Target(NamedTuple):
    """A layer that is changed."""

    name: str
    """In the file: `lora_unet_input_blocks_4_1_proj_in`."""
    part: str
    """`unet`, `text_encoder` or `text_encoder_2`."""
    module: Any
    factor: int
    """The size of w1 at the most; 0 for a norm."""


@dataclass(frozen=True)
class Preset:
    """Which layers of SDXL, by class of what they stand in, and the factors."""

    classes: tuple[str, ...]
    """diffusers' classes whose layers are changed."""
    names: tuple[str, ...] = ()
    """Modules of the UNet beside these, by diffusers' names."""
    text_classes: tuple[str, ...] = ()
    """The same for the text encoders."""
    factors: Mapping[str, int] = field(default_factory=dict)
    """The size of w1 by class; the innermost counts."""
    factor: int = 8
    """Of all else."""
    norms: bool = False
    """Norms of the UNet too."""


PRESETS: Final[dict[str, Preset]] = {
    # docs/lyco_config.toml of Kohaku-XL Delta, Epsilon's sibling; its classes by diffusers' names.
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
        options: the preset and what differs from it.

    Raises:
        ConfigError: a factor or an exclusion names nothing that there is.
    """
    preset = PRESETS[options.preset]
    found = [target for part, model in models.items() for target in _of_part(part, model, preset, options)]
    return _without(found, options)


def layers(models: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Every layer and norm of models that an adapter could change: its name in files, its part and the module."""
    found = {}
    for part, model in models.items():
        for name, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)):
                found[_file_name(part, name)] = (part, module)
    return found


def _of_part(part: str, model: Any, preset: Preset, options: LokrOptions) -> Iterator[Target]:
    in_unet = part == "unet"
    wanted = preset.classes if in_unet else preset.text_classes
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    _check_factors(options, set(kinds.values()), in_unet=in_unet)
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
        factor = 0 if is_norm else _factor(dotted, [kinds[outer] for outer in around], preset, options)
        yield Target(_file_name(part, name), part, module, factor)


def _file_name(part: str, name: str) -> str:
    dotted = unet_name(name) if part == "unet" else text_name(name)
    prefix = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}[part]
    return f"{prefix}_{dotted.replace('.', '_')}"


def _around(name: str) -> list[str]:
    """A module's name and those of all it stands in, from the inside out."""
    pieces = name.split(".")
    return [".".join(pieces[:end]) for end in range(len(pieces), 0, -1)]


def _factor(dotted: str, kinds: list[str], preset: Preset, options: LokrOptions) -> int:
    for pattern, factor in options.factors.items():
        if fnmatchcase(dotted, pattern):
            return factor
    for kind in kinds:
        for factors in (options.factors, preset.factors):
            if kind in factors:
                return factors[kind]
    return preset.factor


def _check_factors(options: LokrOptions, kinds: set[str], *, in_unet: bool) -> None:
    for name in options.factors if in_unet else ():
        if name.isidentifier() and name not in kinds | {"CLIPAttention", "CLIPMLP"}:
            raise ConfigError(
                f"lokr.factors has {name!r}, and no layer stands in such a class; {nearest(name, sorted(kinds))}"
            )


def _without(found: list[Target], options: LokrOptions) -> list[Target]:
    for pattern in options.exclude:
        left = [target for target in found if not fnmatchcase(target.name, pattern)]
        if len(left) == len(found):
            raise ConfigError(
                f"lokr.exclude has {pattern!r}, which matches no layer; names are as in the file: {found[0].name}"
            )
        found = left
    return found
