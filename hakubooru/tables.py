"""Read a table of a TOML file into a dataclass."""

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
    """Make a dataclass of a table; a value of the dataclass is returned unchanged, and None means the defaults.

    Args:
        kind: the dataclass.
        value: a table of its fields, a value of it, or None.
        name: the name of the table, for messages.

    Raises:
        InputError: the value is not a table, or has an unknown key; the message names the key.
    """
    if isinstance(value, kind):
        return value
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a table, not {value!r}: write [{name}] and its keys below")
    keys = [field.name for field in fields(kind)]
    for key in value:
        if key not in keys:
            raise InputError(f"[{name}] has no key {key!r}; {nearest(key, keys)}")
    return kind(**value)
