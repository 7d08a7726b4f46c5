"""Checks of the arguments of questions and steps: names, numbers, seeds and dates."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from functools import wraps
from inspect import Parameter, isfunction, signature
from numbers import Real
from typing import Any, Final, TypeVar

import numpy as np
from peewee import Field

from hakubooru.errors import InputError
from hakubooru.quantity import quantity

Kind = TypeVar("Kind")

_LIMIT: Final = 2**63
_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>[0-9]{4})(?:(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?:(?P=sign)(?P<day>[0-9]{1,2}))?)?",
        r"(?P<day>[0-9]{1,2})(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?P=sign)(?P<year>[0-9]{4})",
        r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
    )
)
"""The forms 2024, 2024-05, 2024-05-31, 31-5-2024 and 20240531; `/` or `.` may stand in place of both `-`."""


def whole(value: Any, call: str, *, mend: str = "") -> int:
    """Check a whole number, of Python's or of NumPy's integer types, and return it as an int.

    Args:
        value: the argument.
        call: the call that takes it, such as `limit()`.
        mend: what to write instead, for the message.

    Raises:
        InputError: the value is not a whole number, or does not fit into 64 bits.
    """
    number = _index(value, call, mend)
    if not -_LIMIT <= number < _LIMIT:
        raise InputError(f"{call} takes a whole number of at most 64 bits, and {value!r} is too large")
    return number


def amount(value: Any, call: str, *, things: str = "posts", mend: str = "") -> int:
    """Check how many posts, or other things, are asked for: a whole number of 0 or more.

    Args:
        value: the argument.
        call: the call that takes it, such as `limit()`.
        things: what is counted, for the message.
        mend: what to write instead of a number that is not whole, for the message.

    Raises:
        InputError: the value is not a whole number, is negative, or does not fit into 64 bits.
    """
    count = whole(value, call, mend=mend)
    if count < 0:
        raise InputError(f"{call} takes 0 {things} or more, not {count}")
    return count


def seed(value: Any, call: str) -> int:
    """Check a seed: any whole number, also a negative one. Seeds that differ by 2 ** 64 give the same sample.

    Raises:
        InputError: the value is not a whole number.
    """
    return _index(value, call, "write a seed such as seed=1")


def number(value: Any, words: str) -> int | float:
    """Check a number of any numeric type and return it as an int or a float.

    Raises:
        InputError: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:  # noqa: PLR0124 - NaN alone does
        raise InputError(
            f"the ends of a range of {words} must be numbers, not {value!r}: write a number such as 20"
        )
    if hasattr(value, "__index__") and -_LIMIT <= operator.index(value) < _LIMIT:
        return operator.index(value)
    return float(value)


def share(value: Any, call: str) -> float:
    """Check a fraction from 0 to 1 and return it as a float.

    Raises:
        InputError: the value is not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InputError(
            f"{call} takes a fraction from 0 to 1, not {value!r}: for half of the posts write fraction=0.5"
        )
    return float(value)


def listed(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a call; a single list, set or other iterable stands for its elements."""
    values = arguments[0] if len(arguments) == 1 else None
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        return arguments
    if hasattr(values, "to_pylist"):  # the elements of an Arrow array are not Python's strings
        values = values.to_pylist()
    return tuple(sorted(values) if isinstance(values, set | frozenset) else values)


def column(value: Any) -> Any:
    """The name of a peewee field, such as `Post.score`; any other value is returned unchanged."""
    return value.name if isinstance(value, Field) else value


def names(arguments: tuple[Any, ...], call: str) -> tuple[str, ...]:
    """The names in the arguments of a call, which takes them one by one or as one list.

    Raises:
        InputError: an argument is not a string.
    """
    values = listed(arguments)
    for value in values:
        if not isinstance(value, str):
            raise InputError(
                f"{call}() takes names, and {value!r} is not one: write {call}('a', 'b') or {call}(['a', 'b']); "
                "write an expression as .where(…)"
            )
    return tuple(map(str, values))


def date_span(text: str) -> tuple[str, str]:
    """The first day of a year, month or day, and the first day after it, as ISO dates.

    The results compare as text with the dates of the file. A day may also be written first, as Danbooru reads it:
    `31/5/2024`.

    Raises:
        ValueError: the text is not a date; the message says how dates are written.
    """
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        raise ValueError(f"a date such as 2024, 2024-05 or 2024-05-31, not {text!r}")
    year, month, day = (int(match[part]) if match[part] else None for part in ("year", "month", "day"))
    try:
        first = date(year or 0, month or 1, day or 1)
        after = date(*months_after(first.year, first.month, 1 if month else 12), 1)
        return str(first), str(first + timedelta(days=1) if day else after)
    except (ValueError, OverflowError):
        raise ValueError(f"a date of the calendar, which {text!r} is not") from None


def months_after(year: int, month: int, count: int) -> tuple[int, int]:
    """The year and month that follow `count` months after a year and month."""
    months = year * 12 + month - 1 + count
    return months // 12, months % 12 + 1


def explained(kind: type[Kind]) -> type[Kind]:
    """Make the public methods of a class name their arguments when they are called with wrong ones."""
    for name, method in list(vars(kind).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(kind, name, _explained(method))
    return kind


def _explained(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except TypeError as error:
            is_of_call = error.__traceback__ is not None and error.__traceback__.tb_next is None
            if not is_of_call:
                raise
            raise InputError(_mend(method, str(error).partition("() ")[2])) from None

    return call


def _mend(method: Callable[..., Any], problem: str) -> str:
    """Say what is wrong with a call, and what to write instead."""
    parameters = list(signature(method).parameters.values())[1:]
    words = [f"{each.name}=…" if each.kind is Parameter.KEYWORD_ONLY else each.name for each in parameters]
    if "given" in problem:
        is_by_name = any(each.kind is Parameter.KEYWORD_ONLY for each in parameters)
        count = quantity(len(words), "argument") if words else "no arguments"
        problem = "takes arguments by name" if is_by_name else f"takes {count}"
    return f"{method.__name__}() {problem}: write {method.__name__}({', '.join(words)})"


def _index(value: Any, call: str, mend: str) -> int:
    if not isinstance(value, bool | np.bool):  # some versions of NumPy take the latter for a number, too
        with suppress(TypeError):
            return operator.index(value)
    raise InputError(f"{call} takes a whole number, not {value!r}{mend and f': {mend}'}")
