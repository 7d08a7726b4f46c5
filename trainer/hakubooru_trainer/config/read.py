"""Reads a configuration: TOML into dataclasses, overrides from the command line, and back to TOML."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import math
import textwrap
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from hakubooru.errors import ConfigError
from hakubooru.files import read_text
from hakubooru.nearest import nearest
from hakubooru_trainer.config.options import Options
from hakubooru_trainer.config.paths import check_sections
from hakubooru_trainer.config.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WORDS = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def load(path: Path, overrides: Sequence[str] = (), *, paths: bool = False) -> Options:
    """Read the configuration in a TOML file.

    Args:
        path: the file.
        overrides: `section.key=value`, each replaces what the file says; the value is TOML, or a bare word.
        paths: check too that the files and folders it names exist.

    Returns:
        The options, with defaults for the keys that the file leaves out.

    Raises:
        ConfigError: the configuration is wrong; the message names the file, and all keys and paths that are wrong.
    """
    try:
        table = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a configuration file, such as examples/tiny.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text; write the configuration as a TOML file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    problems = Problems()
    for override in overrides:
        with problems.collecting():
            _override(table, override)
    sections = _values(Options, table, "", problems)
    options = None
    if not problems.texts:
        with problems.collecting():
            options = Options(**sections)
    if paths:
        check_sections(sections, problems)
    problems.raise_as(ConfigError, str(path))
    assert options is not None
    return options


def dump(options: Options) -> str:
    """Write the configuration as TOML, with every key."""
    lines: list[str] = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for table in value if isinstance(value, tuple) else (value,):
            lines.append(f"[[{field.name}]]" if isinstance(value, tuple) else f"[{field.name}]")
            lines += (
                f"{inner.name} = {toml(getattr(table, inner.name))}" for inner in dataclasses.fields(table)
            )
            lines.append("")
    return "\n".join(lines)


def help_text() -> str:
    """List every key with its documentation and default, as TOML that can be copied."""
    lines = []
    for name, kind in get_type_hints(Options).items():
        many = get_origin(kind) is tuple
        section = get_args(kind)[0] if many else kind
        lines += [f"# {section.__doc__}", f"[[{name}]]" if many else f"[{name}]"]
        texts, kinds = documentation(section), get_type_hints(section)
        for field in dataclasses.fields(section):
            lines += textwrap.wrap(texts[field.name], 108, initial_indent="# ", subsequent_indent="# ")
            if get_origin(kinds[field.name]) is Literal:
                lines.append(f"# One of: {', '.join(map(toml, get_args(kinds[field.name])))}.")
            default = _default(field)
            lines += [
                f"{field.name} = {'# must be given' if default is dataclasses.MISSING else toml(default)}"
            ]
        lines.append("")
    return "\n".join(lines).replace("= # must be given", "=  # must be given")


def flat(options: Options) -> dict[str, Any]:
    """The configuration as one table of dotted keys, such as `optimizer.lr` and `data[0].path`."""
    table: dict[str, Any] = {}
    for section, value in dataclasses.asdict(options).items():
        many = isinstance(value, (list, tuple))
        for place, section_table in enumerate(value if many else (value,)):
            name = f"{section}[{place}]" if many else section
            table |= {f"{name}.{key}": inner for key, inner in section_table.items()}
    return table


def defaults(options: Options) -> dict[str, Any]:
    """As `flat`, with the default in place of every value that has one."""
    sections: dict[str, Any] = {}
    for section in dataclasses.fields(options):
        value = getattr(options, section.name)
        sections[section.name] = tuple(map(_reset, value)) if isinstance(value, tuple) else _reset(value)
    return flat(Options(**sections))


def documentation(kind: type) -> dict[str, str]:
    """The docstrings below a dataclass's fields, by field; inherited fields are among them."""
    texts = {}
    for owner in reversed(kind.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                assert isinstance(statement.target, ast.Name)
                texts[statement.target.id] = " ".join(ast.literal_eval(after.value).split())
    return texts


def toml(value: Any) -> str:
    """Write a value as TOML has it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return str(value)


def _reset(table: Any) -> Any:
    """A section whose values are the defaults, where there are any."""
    kept = [field for field in dataclasses.fields(table) if _default(field) is dataclasses.MISSING]
    return type(table)(**{field.name: getattr(table, field.name) for field in kept})


def _values(kind: Any, table: Any, place: str, problems: Problems) -> dict[str, Any]:
    """The values of a dataclass's fields that are right; what is wrong is added to the problems."""
    if not isinstance(table, dict):
        problems.add(f"{place} = {table!r} is not a table; write [{place}] and its keys below")
        return {}
    kinds = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    values = {}
    for key, value in table.items():
        if key not in names:
            where = f"[{place}]" if place else "the configuration"
            problems.add(f"{where} has no key {key!r}; {nearest(key, names)}")
            continue
        with problems.collecting():
            result = _value(kinds[key], value, f"{place}.{key}".strip("."), problems)
            if result is not None:
                values[key] = result
    for field in dataclasses.fields(kind):
        if field.name not in table and _default(field) is dataclasses.MISSING:
            problems.add(
                f"{place}{'.' * bool(place)}{field.name} is missing; write it, since it has no default"
            )
    return values


def _dataclass(kind: Any, table: Any, place: str, problems: Problems) -> Any:
    """A dataclass from the right values of a table; None if a required one is missing or wrong."""
    before = len(problems.texts)
    values = _values(kind, table, place, problems)
    required = {field.name for field in dataclasses.fields(kind) if _default(field) is dataclasses.MISSING}
    if not required <= values.keys():
        return None
    try:
        return kind(**values)
    except ConfigError as error:
        if len(problems.texts) == before:  # else this error may only follow from one noted above
            problems.add(str(error))
        return None


def _value(kind: Any, value: Any, place: str, problems: Problems) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place, problems)
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            choices = [str(choice) for choice in get_args(kind)]
            raise ConfigError(f"{place} = {toml(value)}; {nearest(str(value), choices)}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, place, problems)
    if get_origin(kind) in {dict, Mapping}:
        if not isinstance(value, dict):
            raise ConfigError(f"{place} = {value!r} is not a table; write {place} = {{name = value}}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"{place} = {toml(value)}; write {_WORDS[kind]}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, place: str, problems: Problems) -> tuple[Any, ...]:
    if not isinstance(value, list):
        mend = f"write [[{place}]]" if dataclasses.is_dataclass(kinds[0]) else "write [ , ]"
        raise ConfigError(f"{place} = {value!r} is not a list; {mend}")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise ConfigError(f"{place} = {value!r}; write a list of {len(kinds)}")
    values = (_value(kinds[0], item, place, problems) for item in value)
    return tuple(item for item in values if item is not None)


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
        raise ConfigError(f"--set {text}: {section} is not a table; write [{section}] in the file")
    try:
        owner[name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        owner[name] = value.strip()


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
