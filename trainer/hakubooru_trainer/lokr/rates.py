"""Learning rates by layer: the groups of an optimiser."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from torch import Tensor

    from hakubooru_trainer.config.learning import OptimizerOptions
    from hakubooru_trainer.lokr.adapter import Adapter


def rate_groups(adapter: Adapter, options: OptimizerOptions) -> list[tuple[float, list[Tensor]]]:
    """Base learning rates with the tensors that have them: the UNet's first, then the text encoders'.

    Args:
        adapter: the adapter with its targets.
        options: the rates of UNet and text encoders, and factors by pattern of names.

    Raises:
        ConfigError: a pattern matches no layer.
    """
    names = [target.name for target in adapter.targets]
    for pattern in options.rates:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"optimizer.rates has {pattern!r}, which matches no layer; {nearest(pattern, names[:1] + names[-1:])}"
            )
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for target in sorted(adapter.targets, key=lambda target: target.part != "unet"):
        key = target.part == "unet", _factor(target.name, options)
        groups.setdefault(key, []).extend(adapter.modules[target.name].parameters())
    return [
        ((options.lr if in_unet else options.text_lr) * factor, tensors)
        for (in_unet, factor), tensors in groups.items()
    ]


def _factor(name: str, options: OptimizerOptions) -> float:
    """The factor of the first pattern that matches a layer's name; 1 if none does."""
    return next((factor for pattern, factor in options.rates.items() if fnmatchcase(name, pattern)), 1.0)
