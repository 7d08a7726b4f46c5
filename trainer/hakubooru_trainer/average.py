"""A running average of the trained weights (EMA), which is saved beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor


def decay_at(decay: float, update: int) -> float:
    """How much of the average an update keeps: at most (1 + n) / (10 + n) after n updates, as in diffusers' `EMAModel`."""
    return min(decay, (1 + update) / (10 + update))


class Average:
    """The exponential moving average of weights, fp32 (Polyak and Juditsky, 1992; Karras et al., 2024, section 3).

    Args:
        weights: the weights by their names in a file; the tensors themselves, which training moves.
        decay: how much of the average an update keeps; with 0 there is no average, and nothing is kept.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], decay: float) -> None:
        self.decay = decay
        self._weights = dict(weights) if decay else {}
        self.values: dict[str, Tensor] = {}
        """The averages by name; empty without an average."""
        self.restart()

    def restart(self) -> None:
        """Begin with the weights as they are now."""
        self.values = {name: weight.detach().float().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, update: int) -> None:
        """Take the weights in after they were moved.

        Args:
            update: how many updates came before, from 0.
        """
        share = 1 - decay_at(self.decay, update)
        for name, value in self.values.items():
            value.lerp_(self._weights[name].float(), share)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on with the averages of a state."""
        for name, value in self.values.items():
            value.copy_(values[name])
