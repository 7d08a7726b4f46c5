"""Everything random, as pure functions of seed, epoch, position in the epoch's order, and sample.

Nothing here depends on ranks, workers or how batches are summed: a run on other machines, or a resumed run, draws the
same numbers.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


def number(purpose: str, *values: int) -> int:
    """A number of 128 bits that follows from a purpose (`noise`, `caption`, …) and whole numbers."""
    data = struct.pack(f"<{len(values)}Q", *(value % 2**64 for value in values)) + purpose.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "little")


def normal(shape: Sequence[int], purpose: str, *values: int) -> Floats:
    """Numbers of the normal distribution, float32, from NumPy's Philox."""
    return _generator(purpose, *values).standard_normal(tuple(shape), np.float32)


def uniform(shape: Sequence[int], purpose: str, *values: int) -> Floats:
    """Uniform numbers from 0 up to 1, float32, from NumPy's Philox."""
    return _generator(purpose, *values).random(tuple(shape), np.float32)


def fraction(purpose: str, *values: int) -> float:
    """A number from 0 up to 1, in steps of 2 ** -53."""
    return float((number(purpose, *values) >> 75) / (1 << 53))


def integer(low: int, high: int, purpose: str, *values: int) -> int:
    """A whole number from `low` up to `high`, which is not included."""
    return low + number(purpose, *values) % (high - low)


def _generator(purpose: str, *values: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=number(purpose, *values)))
