"""Writing a whole table as TOML, which Python reads but does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakubooru.settings import toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def toml_text(table: Mapping[str, Any]) -> str:
    """Write a table of texts, numbers, flags, lists and tables as TOML (version 1.0), from which `tomllib` reads it."""
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, dict) or _is_tables(value)}
    for key, value in table.items():
        if key not in tables:
            yield f"{_key(key)} = {toml(value)}"
    for key, value in tables.items():
        inner = (*path, key)
        name = ".".join(map(_key, inner))
        for each in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            yield from _lines(each, inner)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else toml(key)
