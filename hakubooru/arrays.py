"""Arrays of NumPy and Arrow: post ids, columns of posts, and conversions between both that do not import pandas.

`pyarrow.array` of a list, `to_numpy`, and a string in place of a scalar import pandas, which costs 0.2 s and 50 MB in
each process. The functions here use the buffers of Arrow's arrays instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

Ids: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"
"""Post ids, (N,) int64."""

Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[Any]]"
"""A column of posts, or places in one, (N,)."""

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]+\s*")
_EXACT: Final = 2**53
"""The largest whole number up to which floats are exact."""
_PANDAS_INDEX: Final = "__index_level_"
_SPARSE: Final = 16
_LEAST_SPARSE: Final = 2**24
"""Ids are sparse if they span more numbers than this, and more than 16 for each post."""


def as_ids(ids: Any, place: str = "the list of ids") -> Ids:
    """Convert ids to an array, in their order, (N,) int64.

    An entry may be a whole number of any type, such as 3.0 (pandas makes it of 3), or a string of digits.

    Args:
        ids: a list or other iterable; a selection; a NumPy, pandas, Arrow or Polars array; or a table with a column
            `id`, or with a single column.
        place: the name of the list, for messages.

    Raises:
        InputError: an entry is not an id.
    """
    values = _array(ids, place)
    if values.ndim != 1:
        raise InputError(f"{place} has {values.ndim} dimensions; give one row of post ids")
    kind = values.dtype.kind
    if kind in "mM":  # NumPy would convert dates to numbers
        values = values.astype(str)
    if kind == "i" or (kind == "u" and (not len(values) or values.max() < 2**63)):
        return values.astype(np.int64)
    if kind == "f" and np.all(np.abs(values) <= _EXACT) and np.all(values == np.floor(values)):
        return values.astype(np.int64)
    return np.array([_id(value, row, place) for row, value in enumerate(values.tolist(), 1)], np.int64)


def _array(ids: Any, place: str) -> np.ndarray[Any, Any]:
    ids = ids.to_ids() if hasattr(ids, "to_ids") else ids
    if isinstance(ids, np.ndarray):
        return ids
    names = getattr(ids, "column_names", None)
    names = getattr(ids, "columns", None) if names is None else names
    if names is not None:
        ids = ids[id_column(list(names), place)]
    elif not hasattr(ids, "__array__") and hasattr(ids, "__arrow_c_stream__"):
        import pyarrow as pa  # noqa: PLC0415 - only needed for Arrow data, whose owner has it

        ids = pa.chunked_array(ids)
        if pa.types.is_struct(ids.type):  # a table
            return _array(pa.Table.from_struct_array(ids), place)
    if hasattr(ids, "__array__"):
        return np.asarray(ids)
    if not isinstance(ids, Iterable) or isinstance(ids, str | bytes | bytearray):
        raise InputError(f"{place} must be a list, an array or a file of post ids, not {ids!r}")
    entries = list(ids)
    if set(map(type, entries)) == {int} and min(entries) >= -(2**63) and max(entries) < 2**63:
        return np.array(entries, np.int64)
    values = np.empty(len(entries), object)
    values[:] = entries
    return values


def id_column(names: Sequence[str], place: str) -> str:
    """The name of the column with the ids: `id`, or the only column.

    Raises:
        InputError: there are several columns, and none is `id`; the message names `place`.
    """
    names = [name for name in names if not str(name).startswith(_PANDAS_INDEX)]
    if "id" in names:
        return "id"
    if len(names) != 1:
        raise InputError(
            f"{place} has no column id; pass only the column with the ids, one of {', '.join(map(str, names))}"
        )
    return names[0]


def _id(value: Any, row: int, place: str) -> int:
    if not isinstance(value, bool | np.bool) and not getattr(value, "ndim", 0):
        with suppress(ValueError, TypeError, OverflowError, ArithmeticError):
            number = int(value)
            is_same = isinstance(value, str) or number == value
            if is_same and is_id(value) and (not isinstance(value, float) or abs(value) <= _EXACT):
                return number
    raise InputError(
        f"{place}, entry {row}: {str(value)[:40]!r} is not a post id; give whole numbers, none of them missing"
    )


def is_id(text: Any) -> bool:
    """Whether a text or number can be an id: a whole number of at most 64 bits; a text has it in plain digits."""
    if isinstance(text, str) and not _WHOLE.fullmatch(text):  # Python takes 3_0 for 30
        return False
    try:
        return -(2**63) <= int(text) < 2**63
    except ValueError:
        return False


def ascending(ids: Ids) -> Ids:
    """Sort ids ascending, (N,) int64. Ids that consist of a few ascending runs are merged, which is faster."""
    return np.sort(ids, kind="stable")


def is_first(values: Ids) -> Values:
    """Whether each of some sorted values differs from the one before it, (N,) bool."""
    differs: Values = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def distinct(ids: Ids) -> Ids:
    """Sort ids ascending and leave out repetitions, (N,) int64; `np.unique` hashes whole numbers, which takes much longer."""
    ordered = np.sort(ids)
    return ordered[is_first(ordered)]


def id_text(ids: Iterable[int] | Ids) -> str:
    """Write ids as JSON text for SQL's `json_each(?)`. SQLite limits the number of variables, but not this list."""
    return str(ids.tolist() if isinstance(ids, np.ndarray) else [int(number) for number in ids])


def union(sets: Sequence[Ids]) -> Ids:
    """The ids of one or several sets, ascending, (N,) int64. Ascending sets that follow each other are only joined."""
    together = np.concatenate(sets)
    if (together[1:] > together[:-1]).all():
        return together
    together = ascending(together)
    return together[is_first(together)]


def is_among(values: Ids, ids: Ids) -> Values:
    """Whether each of some values is among ascending ids, (N,) bool; `np.isin` sorts both, which takes much longer."""
    if not len(ids):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
    return ids[places] == values  # type: ignore[no-any-return]


class Least:
    """A collector of the places of the `count` smallest keys, which come in pieces.

    A piece is hardly more than compared: few of its keys are below the smallest ones of the pieces before it.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._limit: Any = None
        self._start = 0
        self._places: list[Values] = [np.empty(0, np.int64)]
        self._keys: list[Values] = []
        self._waiting, self._most = 0, 2 * count

    def add(self, keys: Values, mask: Values | None = None) -> None:
        """Add the next keys, (P,), which may change afterwards; `mask`, (P,) bool, says which of them count."""
        counts = mask
        if self._limit is not None:
            is_small = keys <= self._limit
            counts = is_small if mask is None else is_small & mask
        inside = np.arange(len(keys)) if counts is None else np.flatnonzero(counts)
        if len(inside):
            self._places.append(inside + self._start)
            self._keys.append(keys[inside])
            self._waiting += len(inside)
            if self._waiting > self._most:
                self._settle()
        self._start += len(keys)

    def places(self) -> Values:
        """The places of the smallest keys, and of all keys that equal the last of them, ascending, (M,) int64."""
        if self._waiting > self._count:
            self._settle()
        return np.concatenate(self._places)

    def _settle(self) -> None:
        places, keys = np.concatenate(self._places), np.concatenate(self._keys)
        self._limit = np.partition(keys, self._count - 1)[self._count - 1]
        is_least = keys <= self._limit
        self._places, self._keys = [places[is_least]], [keys[is_least]]
        self._waiting = len(self._keys[0])
        self._most = 2 * max(self._waiting, self._count)  # keys may be equal


def by_id(ids: Ids, values: Values, other: int) -> Callable[[Ids], Values]:
    """A function that gives the values of posts, (R,), by their ids, and `other` for a post without one.

    It looks them up in a table, which is ten times as fast as a search, unless the ids are so sparse that the table is large.

    Args:
        ids: posts, (N,) int64, each once.
        values: their values, (N,).
        other: the value for all other posts.
    """
    first, last = (int(ids.min()), int(ids.max())) if len(ids) else (0, -1)
    if last - first > max(_SPARSE * len(ids), _LEAST_SPARSE):
        order = np.argsort(ids)
        in_order = ids[order]

        def search(posts: Ids) -> Values:
            places = np.searchsorted(in_order[:-1], posts)
            return np.where(in_order[places] == posts, values[order[places]], other)

        return search
    # The first and the last place stand for smaller and larger ids.
    table = np.full(last + 3 - first, other, values.dtype)
    table[ids + (1 - first)] = values
    return lambda posts: table.take(posts + (1 - first), mode="clip")


def narrow(values: Values) -> Values:
    """Convert whole numbers to the type of the fewest bytes in which all fit."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return values.astype(kind)
    return values


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
