"""Overrides of settings from a command line: `section.key=value` replaces a value of a TOML table."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def override(table: dict[str, Any], text: str, *, example: str, error: type[InputError] = InputError) -> None:
    """Replace a value of a table of sections, in place.

    Args:
        table: tables by the names of sections; a section may be a list of tables, as `[[section]]` in TOML.
        text: `section.key=value`, or `section.0.key=value` for the first table of a list. The value is TOML, or a bare
            word, which is a text with its blanks, unless there is one before the sign too.
        example: what to write, for the message.
        error: the kind of error to raise.

    Raises:
        InputError: the text has another form, or its section is not a table.
    """
    key, mark, value = text.partition("=")
    section, *path = key.strip().split(".")
    if not mark or not path or not all((section, *path)):
        raise error(f"--set {text}: write section.key=value, such as {example}")
    *path, name = path
    owner = table.setdefault(section, {})
    steps = iter(path)
    if isinstance(owner, list):
        owner = _entry(owner, steps, f"{section}.0.{name}", f"--set {text}: {section}", error)
    for part in steps:
        owner = owner.setdefault(part, {}) if isinstance(owner, dict) else owner
    if not isinstance(owner, dict):
        raise error(f"--set {text}: {section} is not a table; write [{section}] in the file")
    try:
        owner[name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        # A shell takes the quotes of `separator=", "` away, and the blank is meant; in `key = word` blanks stand around the sign.
        owner[name] = value.strip() if key.endswith(" ") else value


def _entry(tables: list[Any], path: Iterator[str], example: str, place: str, error: type[InputError]) -> Any:
    number = next(path, "")
    if not number.isdecimal() or int(number) >= len(tables):
        raise error(f"{place} is a list of {len(tables)}; write {example}=value")
    return tables[int(number)]
