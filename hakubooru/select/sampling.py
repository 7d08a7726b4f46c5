"""Random samples that depend only on ids and a seed.

The sample of `n` posts is the `n` posts with the smallest key, where

    mix(x):  z = x + 0x9E3779B97F4A7C15
             z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
             z = (z ^ z >> 27) * 0x94D049BB133111EB
             z ^ z >> 31                                 (all modulo 2 ** 64)
    key(id, seed) = mix(id ^ mix(seed))

`mix` is the output function of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
It is a bijection, so two ids never share a key. A sample is therefore the same in any language and on any machine. A
larger sample contains the smaller one, and new posts displace as few posts as possible.

A weighted sample is drawn without replacement, after Efraimidis and Spirakis ("Weighted random sampling with a
reservoir", 2006): the `n` posts that arrive first, where

    u = ((key >> 12) + 1/2) / 2 ** 52
    arrival = -log(1 - u) / weight                       (never, where the weight is 0)

If two posts arrive together, the one with the smaller key is first. If all weights are equal, the weighted sample is the
sample above. C libraries disagree about the last bit of a logarithm. So the logarithm is written out here in operations
that IEEE 754 rounds equally everywhere: with 1 - u = m * 2 ** e and m from 1/sqrt(2) up to sqrt(2),

    s = (m - 1) / (m + 1),  z = s * s
    log(1 - u) = (e * LN2) + (2 * s) * (1 + z * (1/3 + z * (1/5 + … z * (1/21))))

in doubles, innermost parentheses first. Its error is below 1e-15 of the result. Of the ids 1 to 100, each weighing as
much as its number, the sample of 8 with seed 1 is 28, 31, 51, 68, 71, 84, 90, 92.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from hakubooru.arrays import Least
from hakubooru.errors import SampleError
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids

    Keys: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]
    Weights: TypeAlias = np.ndarray[tuple[int], np.dtype[np.integer]]
    Doubles: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

_A_PIECE: Final = 1 << 15  # keys of 8 bytes, so that the steps of `_mix` find them in the processor's cache
_FEW: Final = 64
"""A sample of fewer than one id in this many keeps few keys."""
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_STEPS: Final = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST: Final = np.uint64(31)
_SQRT_HALF: Final = 0.7071067811865476
_LN2: Final = 0.6931471805599453


def mix(values: Keys) -> Keys:
    """Apply splitmix64's output function to each value, (N,) uint64."""
    mixed = values.copy()
    _mix(mixed, np.empty_like(mixed))
    return mixed


def _mix(z: Keys, shifted: Keys) -> None:
    """Apply splitmix64's output function to each value of `z`, (N,) uint64, in place; `shifted`, (N,), is written over."""
    z += _GAMMA
    for bits, factor in _STEPS:
        np.right_shift(z, bits, out=shifted)
        z ^= shifted
        z *= factor
    np.right_shift(z, _LAST, out=shifted)
    z ^= shifted


def keys(ids: Ids, seed: int) -> Keys:
    """Compute the sampling key of each id, (N,) uint64; seeds are taken modulo 2 ** 64."""
    by_id = np.empty(len(ids), np.uint64)
    for start, piece in zip(range(0, len(ids), _A_PIECE), _pieces(ids, seed), strict=True):
        by_id[start : start + _A_PIECE] = piece
    return by_id


def _pieces(ids: Ids, seed: int) -> Iterator[Keys]:
    """Iterate over the sampling keys of ids in pieces of `_A_PIECE`, each of which is written over by the next one."""
    of_seed = mix(np.array([seed % 2**64], np.uint64))
    shifted, by_id = np.empty((2, min(len(ids), _A_PIECE)), np.uint64)
    for start in range(0, len(ids), _A_PIECE):
        some = ids[start : start + _A_PIECE]
        piece = by_id[: len(some)]
        np.bitwise_xor(some.astype(np.uint64), of_seed, out=piece)
        _mix(piece, shifted[: len(some)])
        yield piece


def sample(ids: Ids, n: int, seed: int) -> Ids:
    """Draw the `n` ids with the smallest keys, in the order of `ids`, (n,) int64.

    Raises:
        SampleError: there are fewer than `n` ids.
    """
    if n > len(ids):
        raise SampleError(
            f"a sample of {n:,} was asked for, and there {'is' if len(ids) == 1 else 'are'} {quantity(len(ids), 'post')} to draw from; "
            f"ask for at most {len(ids):,}, or for a fraction, or multiply a recipe by a smaller scale"
        )
    if n <= 0:
        return ids[:0]
    if n * _FEW < len(ids):
        least = Least(n)
        for piece in _pieces(ids, seed):
            least.add(piece)
        return ids[least.places()]
    by_id = keys(ids, seed)
    chosen: Ids = np.compress(by_id <= np.partition(by_id, n - 1)[n - 1], ids)
    return chosen


def shuffle(ids: Ids, seed: int, limit: int | None = None) -> Ids:
    """Sort ids by their keys, (N,) int64; the first `n` of them are the sample of `n`. With a limit, only the first."""
    if limit is not None and limit < len(ids):
        ids = sample(ids, limit, seed)
    return ids[np.argsort(keys(ids, seed))]


def sample_weighted(ids: Ids, weights: Weights, n: int, seed: int) -> Ids:
    """Draw the `n` ids that arrive first, in the order of `ids`, (n,) int64.

    Args:
        ids: the ids to draw from, (N,) int64.
        weights: whole numbers of 0 or more, (N,). An id with twice the weight is twice as likely to be drawn next.
        n: how many ids to draw.
        seed: the seed of the keys.

    Raises:
        SampleError: a weight is negative, or fewer than `n` weights are above 0.
    """
    if len(weights) and weights.min() < 0:
        count = int((weights < 0).sum())
        raise SampleError(
            f"{quantity(count, 'post has', 'posts have')} a negative weight; leave them out first, for example with the search score:>=0, in Python .score(min=0)"
        )
    positive = np.flatnonzero(weights)
    if n > len(positive):
        raise SampleError(
            f"a sample of {n:,} was asked for, and {len(positive):,} of {quantity(len(ids), 'post')} {'has' if len(positive) == 1 else 'have'} a weight above 0; "
            f"ask for at most {len(positive):,}"
        )
    if n <= 0:
        return ids[:0]
    by_id = keys(ids[positive], seed)
    arrivals = _minus_log_of_rest(by_id) / weights[positive].astype(np.float64)
    last = np.partition(arrivals, n - 1)[n - 1]
    first = arrivals < last
    together = np.flatnonzero(arrivals == last)
    first[together[np.argsort(by_id[together])[: n - np.count_nonzero(first)]]] = True
    chosen: Ids = ids[positive[first]]
    return chosen


def _minus_log_of_rest(by_id: Keys) -> Doubles:
    """Compute -log(1 - u) of each key, (N,) float64."""
    rest = 1.0 - ((by_id >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    m, e = np.frexp(rest)  # m from 1/2 up to 1
    low = m < _SQRT_HALF
    m = np.where(low, m * 2.0, m)
    e = e - low
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = np.zeros(len(z))
    for divisor in range(21, 0, -2):
        series = z * series + 1.0 / divisor
    minus_log: Doubles = -(e * _LN2 + (2.0 * s) * series)
    return minus_log
