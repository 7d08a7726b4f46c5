"""Reading a configuration: TOML into dataclasses, overrides from the command line, and back to TOML."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import math
import textwrap
import tomllib
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest
from hakubooru_trainer.config.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WORDS = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def load(path: Path, overrides: Sequence[str] = ()) -> Options:
    """The configuration in a TOML file.

    Args:
        path: of the file.
        overrides: `section.key=value`, each in place of what the file says; the value as TOML has it, or a bare word.

    Raises:
        ConfigError: it is not as it should be; the message names file, key, rule and mend.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a configuration, such as examples/tiny.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text; a configuration is a TOML file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _override(table, override)
    try:
        options: Options = _dataclass(Options, table, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return options


def dump(options: Options) -> str:
    """The configuration as TOML, every key written out."""
    lines: list[str] = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for table in value if isinstance(value, tuple) else (value,):
            lines.append(f"[[{field.name}]]" if isinstance(value, tuple) else f"[{field.name}]")
            lines += (
                f"{inner.name} = {_toml(getattr(table, inner.name))}" for inner in dataclasses.fields(table)
            )
            lines.append("")
    return "\n".join(lines)


def help_text() -> str:
    """Every key with its documentation and default, as TOML that can be copied."""
    lines = []
    for name, kind in get_type_hints(Options).items():
        many = get_origin(kind) is tuple
        section = get_args(kind)[0] if many else kind
        lines += [f"# {section.__doc__}", f"[[{name}]]" if many else f"[{name}]"]
        documentation, kinds = _documentation(section), get_type_hints(section)
        for field in dataclasses.fields(section):
            lines += textwrap.wrap(
                documentation[field.name], 108, initial_indent="# ", subsequent_indent="# "
            )
            if get_origin(kinds[field.name]) is Literal:
                lines.append(f"# One of: {', '.join(map(_toml, get_args(kinds[field.name])))}.")
            default = _default(field)
            lines += [
                f"{field.name} = {'# must be given' if default is dataclasses.MISSING else _toml(default)}"
            ]
        lines.append("")
    return "\n".join(lines).replace("= # must be given", "=  # must be given")


def flat(options: Options) -> dict[str, Any]:
    """The configuration as one table of dotted keys."""
    found: dict[str, Any] = {}
    for section, value in dataclasses.asdict(options).items():
        many = isinstance(value, (list, tuple))
        for place, table in enumerate(value if many else (value,)):
            name = f"{section}[{place}]" if many else section
            found |= {f"{name}.{key}": inner for key, inner in table.items()}
    return found


def _dataclass(kind: Any, table: Any, place: str) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(f"{place} = {table!r}; it is a table: write [{place}] and its keys below")
    kinds = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    for key in table:
        if key not in known:
            where = f"[{place}]" if place else "the configuration"
            raise ConfigError(f"{where} has no key {key!r}; {nearest(key, known)}")
    for field in dataclasses.fields(kind):
        if field.name not in table and _default(field) is dataclasses.MISSING:
            raise ConfigError(f"{place}{'.' * bool(place)}{field.name} is missing; it must be given")
    return kind(
        **{key: _value(kinds[key], value, f"{place}.{key}".strip(".")) for key, value in table.items()}
    )


def _value(kind: Any, value: Any, place: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place)
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            choices = [str(choice) for choice in get_args(kind)]
            raise ConfigError(f"{place} = {_toml(value)}; {nearest(str(value), choices)}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, place)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{place} = {value!r}; it is a table")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"{place} = {_toml(value)}; it is {_WORDS[kind]}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        mend = f"write [[{place}]]" if dataclasses.is_dataclass(kinds[0]) else "write [ , ]"
        raise ConfigError(f"{place} = {value!r}; it is a list: {mend}")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise ConfigError(f"{place} = {value!r}; it is a list of {len(kinds)}")
    return tuple(_value(kinds[0], item, place) for item in value)


def _override(table: dict[str, Any], text: str) -> None:
    key, mark, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not mark or not dot:
        raise ConfigError(f"--set {text}: write section.key=value, such as optimizer.lr=1e-5")
    owner = table.setdefault(section, {})
    if isinstance(owner, list):
        number, _, name = name.rpartition(".")
        if not number.isdigit() or int(number) >= len(owner):
            raise ConfigError(
                f"--set {text}: {section} is a list of {len(owner)}; write {section}.0.{name or 'key'}=value"
            )
        owner = owner[int(number)]
    if not isinstance(owner, dict):
        raise ConfigError(f"--set {text}: {section} is no table")
    try:
        owner[name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        owner[name] = value.strip()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _documentation(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass."""
    (owner,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(owner, ast.ClassDef)
    texts = {}
    for statement, after in zip(owner.body, owner.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(statement.target, ast.Name)
            texts[statement.target.id] = " ".join(ast.literal_eval(after.value).split())
    return texts


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return (
                "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
            )
        case _:
            return str(value)
