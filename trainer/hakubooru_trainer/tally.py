"""Losses of an update's images by range of timesteps and by data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from hakubooru_trainer.noise import STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hakubooru_trainer.data.batches import Batch

RANGES: Final = 4
"""Into how many ranges of equal length the timesteps are divided."""
_LENGTH: Final = STEPS // RANGES


class Tally:
    """Sums of losses and counts of images, by range of timesteps and by data set; on the device, which nothing waits for.

    Args:
        sets: the names of the data sets.
        device: the device of the losses.
    """

    def __init__(self, sets: Sequence[str], device: torch.device) -> None:
        self.sets = sets
        self.sums = torch.zeros(2, RANGES + len(sets), device=device)
        """The sums of losses, and the counts of images, of each range and each data set."""
        self._keys = torch.arange(RANGES + len(sets), device=device)

    def add(self, batch: Batch, losses: Tensor) -> None:
        """Add the losses of a batch's images, (B,); an image that was left out does not count."""
        keys = torch.stack([batch.timesteps // _LENGTH, RANGES + batch.sources], 1)  # (B, 2)
        is_here = (keys[:, :, None] == self._keys).any(1) & batch.decoded[:, None]  # (B, R + S)
        self.sums[0] += torch.where(is_here, losses[:, None], 0).sum(0)
        self.sums[1] += is_here.sum(0)

    def means(self) -> dict[str, dict[str, float]]:
        """The mean loss of each range and, if there are several data sets, of each of them; only where there were images."""
        sums, counts = self.sums.tolist()
        ranges = [f"{place * _LENGTH}-{(place + 1) * _LENGTH - 1}" for place in range(RANGES)]
        means = [
            {name: sums[place] / counts[place] for place, name in enumerate(names, start) if counts[place]}
            for start, names in ((0, ranges), (RANGES, self.sets))
        ]
        return {"by_timestep": means[0]} | ({"by_data": means[1]} if len(self.sets) > 1 else {})
