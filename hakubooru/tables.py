"""From a table of a TOML file to the dataclass whose fields it sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from hakubooru.errors import InputError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def from_table(kind: type[T], value: T | Mapping[str, Any] | None, name: str) -> T:
    """A value as it is, or one made of a table; None is the default.

    Args:
        kind: the dataclass.
        value: what was given for it.
        name: of the table, for messages.

    Raises:
        InputError: it is no such table; the message names the key.
    """
    if isinstance(value, kind):
        return value
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise InputError(f"[{name}] is {value!r}; it is a table")
    known = [field.name for field in fields(kind)]
    for key in value:
        if key not in known:
            raise InputError(f"[{name}] has no key {key!r}; {nearest(key, known)}")
    return kind(**value)
