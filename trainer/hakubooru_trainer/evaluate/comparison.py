"""Comparing two models by their evaluations, paired by character."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import InputError
from hakubooru.quantity import quantity
from hakubooru_trainer.evaluate import conditions
from hakubooru_trainer.evaluate.results import read_scores
from hakubooru_trainer.evaluate.scores import Interval, bootstrap

if TYPE_CHECKING:
    from pathlib import Path

_RESAMPLES: Final = 10_000
_SHOWN: Final = 5


@dataclass(frozen=True)
class Comparison:
    """How the second model differs from the first."""

    a: Path
    b: Path
    scores: tuple[float, float]
    """The score of each model."""
    difference: Interval
    """The mean of the characters' differences, the second model's score less the first's."""
    characters: int
    better: int
    """How many characters the second model draws better."""
    worse: int
    """How many characters the second model draws worse."""
    gains: tuple[tuple[str, float], ...]
    """The characters that gain most, with their differences."""
    losses: tuple[tuple[str, float], ...]
    """The characters that lose most, with their differences."""

    def __str__(self) -> str:
        one, other = self.scores
        difference, low, high = self.difference
        between = f" ({low:+.4f} to {high:+.4f}, 95%, paired by {quantity(self.characters, 'character')})"
        verdict = f"{self.b if low > 0 else self.a} is better"
        if low <= 0 <= high:
            verdict = "the interval holds 0: they may be equal"
        elif math.isnan(low):
            between, verdict = "", "one character says nothing of others"
        lines = [
            f"{self.a}: {one:.4f}",
            f"{self.b}: {other:.4f}",
            f"difference: {difference:+.4f}{between}; {verdict}",
            f"{quantity(self.better, 'character is', 'characters are')} better in {self.b}, {self.worse:,} worse",
        ]
        for title, pairs in (("gain most", self.gains), ("lose most", self.losses)):
            if pairs:
                lines.append(f"{title}: " + ", ".join(f"{name} {value:+.2f}" for name, value in pairs))
        return "\n".join(lines)


def compare(a: Path, b: Path, seed: int = 0) -> Comparison:
    """Compare two evaluations.

    Args:
        a: the folder of the first.
        b: the folder of the second.
        seed: the seed of the bootstrap.

    Raises:
        InputError: a folder holds no evaluation that ended, or the two were evaluated differently.
    """
    conditions.check_same(a, b)
    one, other = read_scores(a), read_scores(b)
    if one.keys() != other.keys():
        raise InputError(f"{a} and {b} have scores of different characters; evaluate both again")
    names = list(one)
    first, second = (np.array([scores[name] for name in names]) for scores in (one, other))
    differences = second - first
    ranked = sorted(zip(names, differences.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return Comparison(
        a,
        b,
        (float(first.mean()), float(second.mean())),
        bootstrap(differences, _RESAMPLES, seed),
        len(names),
        int(np.count_nonzero(differences > 0)),
        int(np.count_nonzero(differences < 0)),
        tuple(pair for pair in ranked[:_SHOWN] if pair[1] > 0),
        tuple(pair for pair in reversed(ranked[-_SHOWN:]) if pair[1] < 0),
    )
