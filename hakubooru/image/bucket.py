"""Aspect-ratio buckets: images of similar shape are resized to one size, so that they can share a batch.

Bucketing by aspect ratio is NovelAI's method. The sizes follow the rule of kohya's sd-scripts.
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
    """The bucket sizes of a training run; the defaults are Kohaku-XL Epsilon's.

    Raises:
        InputError: there are no such buckets.
    """

    area: int = 1024 * 1024
    """The most pixels of a bucket."""
    step: int = 64
    """Sides are multiples of this, in pixels."""
    min_side: int = 256
    """The shortest side, in pixels."""
    max_side: int = 4096
    """The longest side, in pixels."""

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.min_side <= self.max_side or self.area < self.step**2:
            raise InputError(
                f"there are no buckets of area {self.area}, step {self.step} and sides from {self.min_side} to "
                f"{self.max_side}; choose 0 < step <= min_side <= max_side, and step * step <= area"
            )

    def sizes(self) -> Integers:
        """Return the buckets, (B, 2): width and height in pixels, ascending.

        Widths rise by steps. The height is the area divided by the width, rounded down to a step, at most the longest
        side. Each size is there in both orientations. The square is always there.
        """
        sizes = set()
        for width in range(self.min_side, self.max_side + 1, self.step):
            height = min(self.max_side, self.area // width // self.step * self.step)
            if height >= self.min_side:
                sizes |= {(width, height), (height, width)}
        square = int(self.area**0.5) // self.step * self.step
        sizes.add((square, square))
        return np.array(sorted(sizes), np.int64)

    def of(self, widths: ArrayLike, heights: ArrayLike, *, by: Literal["ratio", "log"] = "ratio") -> Integers:
        """Return the row in `sizes()` of each image's bucket, (N,) int64: the bucket of the nearest aspect ratio.

        Args:
            widths: pixels, (N,).
            heights: pixels, (N,).
            by: `ratio` compares width / height, as sd-scripts does; `log` compares its logarithm, which treats
                portraits and landscapes alike.
        """
        sizes = self.sizes()
        ratios = sizes[:, 0] / sizes[:, 1]
        wanted = np.asarray(widths, np.float64) / np.asarray(heights, np.float64)
        if by == "log":
            ratios, wanted = np.log(ratios), np.log(wanted)
        order = np.argsort(ratios, kind="stable")
        ascending = ratios[order]
        right = np.clip(np.searchsorted(ascending, wanted), 1, len(ascending) - 1)
        nearer_left = wanted - ascending[right - 1] <= ascending[right] - wanted
        places: Integers = order[right - nearer_left]
        return places
