"""How timesteps are drawn: each distribution as its quantile function, so that one uniform number gives one timestep."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakubooru_trainer.config.learning import LossOptions

_BITS: Final = 52
"""Bits of a uniform number, which is odd in the next bit: so it is never 0 or 1."""
_WHOLE: Final = 128 - _BITS
_LARGEST: Final = 700.0
"""Below the largest number whose exponential is finite."""


def logit_normal(u: float, mean: float, deviation: float) -> float:
    """The quantile function of the logit-normal distribution (Esser et al., "Scaling Rectified Flow Transformers", 2024)."""
    x = NormalDist(mean, deviation).inv_cdf(u)
    return 1 / (1 + math.exp(min(-x, _LARGEST)))


def shifted(u: float, shift: float) -> float:
    """The quantile function of a shifted uniform distribution: s u / (1 + (s - 1) u), as Stable Diffusion 3 shifts timesteps."""
    return shift * u / (1 + (shift - 1) * u)


DISTRIBUTIONS: Final[dict[str, Callable[[float, LossOptions], float]]] = {
    "logit_normal": lambda u, loss: logit_normal(u, loss.timestep_mean, loss.timestep_deviation),
    "shifted": lambda u, loss: shifted(u, loss.timestep_shift),
}
"""The quantile functions on 0 to 1 by their names in `loss.timesteps`; `uniform` needs none."""


def timestep(loss: LossOptions, number: int) -> int:
    """The timestep that follows from a random number of 128 bits.

    Args:
        loss: the distribution, and the first and last timesteps.
        number: the random number.
    """
    count = loss.max_timestep - loss.min_timestep
    if loss.timesteps == "uniform":
        return loss.min_timestep + number % count
    u = ((number >> _WHOLE) + 0.5) / (1 << _BITS)
    return loss.min_timestep + min(count - 1, int(DISTRIBUTIONS[loss.timesteps](u, loss) * count))
