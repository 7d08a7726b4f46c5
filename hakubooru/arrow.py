"""Between Arrow's arrays and Python's values, by way of their buffers.

`pyarrow.array` of a list, `to_numpy` and a string in place of a scalar import pandas: 0.2 s and 50 MB in each process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def strings(values: Sequence[str | None]) -> pa.StringArray:
    """Texts, and nulls; less than 2 GiB in UTF-8."""
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    validity = _validity(values)
    texts = [value or "" for value in values]
    text = "".join(texts)
    # To encode all at once, where a character is a byte, takes half as long.
    lengths = map(len, texts if text.isascii() else map(str.encode, texts))
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=ends[1:])
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(text.encode())]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def integers(values: Sequence[int | None] | np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Whole numbers, and nulls, of an integer type; a NumPy array of that type is not copied."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    validity = None
    if not isinstance(values, np.ndarray):
        validity = _validity(values)
        values = np.array([value or 0 for value in values])
    numbers = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(numbers), [validity, pa.py_buffer(numbers)])


def scalar(text: str) -> pa.StringScalar:
    """One text, where a computation takes it beside arrays."""
    return strings([text])[0]


def as_numbers(array: pa.Array, kind: type[np.generic]) -> np.ndarray[Any, Any]:
    """An array of numbers without nulls, whose type is NumPy's `kind`; nothing is copied."""
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]


def as_flags(array: pa.BooleanArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """An array of truth values without nulls."""
    bits = np.frombuffer(array.buffers()[1], np.uint8)
    flags = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :]
    return flags.view(np.bool_)


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    """A bit for each value, the lowest first, that says whether it is there; None where all are."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    there = np.array([value is not None for value in values], np.bool_)
    return None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
