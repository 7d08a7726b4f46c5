"""What is given to the steps of a selection, checked where it is given: names, numbers and seeds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Final

from peewee import Field

from hakubooru.errors import InputError

_LIMIT: Final = 2**63


def whole(value: Any, call: str, *, mend: str = "") -> int:
    """A whole number of any integral type, NumPy's among them, as Python's.

    Args:
        value: what was given.
        call: what it was given to, as in `limit()`.
        mend: what to write instead.

    Raises:
        InputError: it is no whole number, or has more than 64 bits.
    """
    number = _index(value, call, mend)
    if not -_LIMIT <= number < _LIMIT:
        raise InputError(f"{call} takes a whole number of 64 bits, and {value!r} has more")
    return number


def seed(value: Any, call: str) -> int:
    """A seed: any whole number, also a negative one; seeds that differ by 2 ** 64 are the same.

    Raises:
        InputError: it is no whole number.
    """
    return _index(value, call, "write a seed such as seed=1")


def number(value: Any, words: str) -> int | float:
    """A number of any type as Python's.

    Raises:
        InputError: it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:  # noqa: PLR0124 - NaN alone does
        raise InputError(f"{words} takes numbers, and {value!r} is not one; write a number, such as 20")
    if hasattr(value, "__index__") and -_LIMIT <= operator.index(value) < _LIMIT:
        return operator.index(value)
    return float(value)


def share(value: Any, call: str) -> float:
    """A part of a whole, 0 to 1.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InputError(
            f"{call} takes a fraction from 0 to 1, and {value!r} is out of range; write fraction=0.5"
        )
    return float(value)


def listed(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a call, which may be one list of them instead."""
    if len(given) != 1 or not isinstance(given[0], Iterable) or isinstance(given[0], str | bytes | Mapping):
        return given
    values = given[0]
    if hasattr(values, "to_pylist"):  # Arrow's own values are no texts
        values = values.to_pylist()
    return tuple(sorted(values) if isinstance(values, set | frozenset) else values)


def column(value: Any) -> Any:
    """The name of a column that is given as a peewee field, such as `Post.score`; anything else as it is."""
    return value.name if isinstance(value, Field) else value


def names(given: tuple[Any, ...], call: str) -> tuple[str, ...]:
    """The names that were given to a call, one by one or as one list.

    Raises:
        InputError: something else is among them.
    """
    values = listed(given)
    for value in values:
        if not isinstance(value, str):
            raise InputError(
                f"{call}() takes names, and {value!r} is not one: write {call}('a', 'b') or {call}(['a', 'b']); "
                "expressions go into .where(…)"
            )
    return tuple(map(str, values))


def _index(value: Any, call: str, mend: str) -> int:
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise InputError(f"{call} takes a whole number, and {value!r} is not one{mend and f'; {mend}'}")
