"""Scores from differences between images: pure functions of arrays.

A picture scores the share of its character's references that are judged to show the same character. A character scores
the mean of its pictures, and the model the mean of its characters. Two bounds stand beside it. The ceiling is what
references score against the other references of their character. The floor is what they score against the references
of another character.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hakubooru.select.sampling import keys

if TYPE_CHECKING:
    from hakubooru.arrays import Ids

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]

_LEVEL = 0.95


@dataclass(frozen=True)
class CharacterScore:
    """How one character came out. NaN stands for what cannot be known."""

    pictures: tuple[float, ...]
    """The score of each picture."""
    differences: tuple[float, ...]
    """The mean difference of each picture from the references."""
    ceiling: float
    """The mean score of references against the others; NaN for a single reference."""
    ceiling_difference: float
    floor: float
    """The mean score of references against another character's; NaN where there is no other character."""
    floor_difference: float

    @property
    def score(self) -> float:
        """The mean of the pictures."""
        return float(np.mean(self.pictures))

    @property
    def difference(self) -> float:
        """The mean difference of the pictures from the references."""
        return float(np.mean(self.differences))

    @property
    def best(self) -> int:
        """The number of the best picture: of the highest score, and of those the one with the least difference."""
        return min(range(len(self.pictures)), key=self._rank)

    @property
    def worst(self) -> int:
        """The number of the worst picture: of the lowest score, and of those the one with the largest difference."""
        return max(range(len(self.pictures)), key=self._rank)

    def _rank(self, number: int) -> tuple[float, float]:
        return -self.pictures[number], self.differences[number]


def character_score(differences: Floats, pictures: int, references: int, threshold: float) -> CharacterScore:
    """Score a character.

    Args:
        differences: the differences of each image of each, (N, N): first the pictures, then the character's references,
            then the references of another character.
        pictures: how many pictures there are, at least 1.
        references: how many references the character has, at least 1.
        threshold: the largest difference of two images of one character.
    """
    of_pictures = differences[:pictures, pictures : pictures + references]
    own = differences[pictures : pictures + references, pictures : pictures + references]
    other = differences[pictures : pictures + references, pictures + references :]
    others = own[~np.eye(references, dtype=bool)]
    shares: list[float] = (of_pictures <= threshold).mean(axis=1).tolist()
    means: list[float] = of_pictures.mean(axis=1, dtype=np.float64).tolist()
    return CharacterScore(
        pictures=tuple(shares),
        differences=tuple(means),
        ceiling=_mean(others <= threshold),
        ceiling_difference=_mean(others),
        floor=_mean(other <= threshold),
        floor_difference=_mean(other),
    )


class Interval(NamedTuple):
    """A mean, and the ends of its interval of 95%. NaN stands for what cannot be known."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "not known"
        between = "" if math.isnan(self.low) else f" ({self.low:.4f} to {self.high:.4f}, 95%)"
        return f"{self.mean:.4f}{between}"


def bootstrap(values: Floats, resamples: int, seed: int) -> Interval:
    """The mean of values with its interval of 95%: the percentiles of the means of samples drawn with replacement.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Args:
        values: the values, (N,); NaN is left out.
        resamples: how many samples to draw.
        seed: the seed.

    Returns:
        NaN three times if there are no values; the ends are NaN if there is only one, which says nothing of others.
    """
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return Interval(float(values[0]) if len(values) else np.nan, np.nan, np.nan)
    draw = np.random.Generator(np.random.Philox(key=seed))
    means = [float(np.mean(values[draw.integers(0, len(values), len(values))])) for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]).tolist()
    return Interval(float(np.mean(values)), low, high)


def partners(count: int, seed: int) -> Ids:
    """Give each of some characters another one, whose references are its floor, (N,) int64; -1 if there is only one.

    Each character is the partner of one other.
    """
    if count < 2:
        return np.full(count, -1, np.int64)
    order = np.argsort(keys(np.arange(count, dtype=np.int64), seed))
    result = np.empty(count, np.int64)
    result[order] = np.roll(order, 1)
    return result


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(np.mean(values, dtype=np.float64)) if values.size else float("nan")
