"""Aspect-ratio buckets: the sizes that images of like shape are brought to, so that they can share a batch.

Bucketing by aspect ratio is NovelAI's; the rule for which sizes there are is that of kohya's sd-scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """The sizes of a training run: about one area, sides in steps. The defaults are Kohaku-XL Epsilon's."""

    area: int = 1024 * 1024
    """Pixels at the most."""
    step: int = 64
    """What sides are multiples of."""
    min_side: int = 256
    max_side: int = 4096

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.min_side <= self.max_side or self.area < self.step**2:
            raise InputError(
                f"buckets of area {self.area}, step {self.step}, sides {self.min_side} to {self.max_side} hold nothing; "
                "0 < step <= min_side <= max_side, and step * step <= area"
            )

    def sizes(self) -> Integers:
        """The buckets, (B, 2): width and height, ascending.

        Widths go up by steps; the height is what the area leaves, rounded down to a step and to the longest side.
        Each stands in both orientations, and the square is always there.
        """
        found = set()
        for width in range(self.min_side, self.max_side + 1, self.step):
            height = min(self.max_side, self.area // width // self.step * self.step)
            if height >= self.min_side:
                found |= {(width, height), (height, width)}
        square = int(self.area**0.5) // self.step * self.step
        found.add((square, square))
        return np.array(sorted(found), np.int64)

    def of(self, widths: ArrayLike, heights: ArrayLike, *, by: Literal["ratio", "log"] = "ratio") -> Integers:
        """The place in `sizes()` of each image's bucket, (N,) int64: the one of the nearest aspect ratio.

        Args:
            widths: pixels, (N,).
            heights: pixels, (N,).
            by: compare ratios of width to height as they are, as sd-scripts does, or their logarithms, which treats
                portraits as it treats landscapes.
        """
        sizes = self.sizes()
        ratios = sizes[:, 0] / sizes[:, 1]
        wanted = np.asarray(widths, np.float64) / np.asarray(heights, np.float64)
        if by == "log":
            ratios, wanted = np.log(ratios), np.log(wanted)
        order = np.argsort(ratios, kind="stable")
        known = ratios[order]
        right = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
        nearer_left = wanted - known[right - 1] <= known[right] - wanted
        places: Integers = order[right - nearer_left]
        return places
