"""Conversions between Arrow arrays and Python values that do not import pandas.

`pyarrow.array` of a list, `to_numpy`, and a string in place of a scalar import pandas, which costs 0.2 s and 50 MB in
each process. These functions use the buffers of arrays instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def strings(values: Sequence[str | None]) -> pa.StringArray:
    """Make an Arrow array of strings and nulls, (N,), with less than 2 GiB of text in UTF-8."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    validity = _validity(values)
    texts = [value or "" for value in values]
    text = "".join(texts)
    # One encoding of the whole text takes half as long; in ASCII a character is a byte.
    lengths = map(len, texts if text.isascii() else map(str.encode, texts))
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=ends[1:])
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(text.encode())]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def integers(values: Sequence[int | None] | np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Make an Arrow array of whole numbers and nulls, (N,), of an integer type. A NumPy array of it is not copied."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    validity = None
    if not isinstance(values, np.ndarray):
        validity = _validity(values)
        values = np.array([value or 0 for value in values])
    numbers = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(numbers), [validity, pa.py_buffer(numbers)])


def scalar(text: str) -> pa.StringScalar:
    """Make an Arrow scalar of a string, for computations that combine it with arrays."""
    return strings([text])[0]


def as_numbers(array: pa.Array, kind: type[np.generic]) -> np.ndarray[Any, Any]:
    """View an Arrow array of numbers without nulls as a NumPy array of its type `kind`, (N,), without a copy."""
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def as_flags(array: pa.BooleanArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Convert an Arrow array of booleans without nulls to a NumPy array, (N,) bool."""
    bits = np.frombuffer(array.buffers()[1], np.uint8)
    flags = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :]
    return flags.view(np.bool_)


def flags(values: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.BooleanArray:
    """Make an Arrow array of booleans, (N,)."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def matches(
    texts: pa.StringArray, places: np.ndarray[Any, Any], patterns: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which texts match one of some patterns, (N,) bool.

    Args:
        texts: the texts.
        places: the places of the texts to look at, (N,) int64.
        patterns: texts or patterns; `*` stands for any characters, and no other sign is special.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it
    import pyarrow.compute as pc  # noqa: PLC0415

    choices = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    some = texts.take(integers(places, pa.int64()))
    return as_flags(pc.match_substring_regex(some, f"(?s)^(?:{choices})$"))


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    """Make Arrow's validity bitmap: a bit for each value that is not None, lowest first; None if no value is None."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    is_present = np.array([value is not None for value in values], np.bool_)
    return None if is_present.all() else pa.py_buffer(np.packbits(is_present, bitorder="little"))
