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
    """The configuration in a TOML file.

    Args:
        path: of the file.
        overrides: `section.key=value`, each in place of what the file says; the value as TOML has it, or a bare word.
        paths: check as well that what it names is there.

    Raises:
        ConfigError: it is not as it should be; the message names the file, and all keys and paths that are wrong.
    """
    try:
        table = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a configuration, such as examples/tiny.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text; a configuration is a TOML file in UTF-8") from error
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


def defaults(options: Options) -> dict[str, Any]:
    """As `flat`, with the default in place of every value that has one."""
    sections = {}
    for section in dataclasses.fields(options):
        value = getattr(options, section.name)
        sections[section.name] = tuple(map(_reset, value)) if isinstance(value, tuple) else _reset(value)
    return flat(Options(**sections))


def _reset(table: Any) -> Any:
    """A section whose values are the defaults, where there are any."""
    kept = [field for field in dataclasses.fields(table) if _default(field) is dataclasses.MISSING]
    return type(table)(**{field.name: getattr(table, field.name) for field in kept})


def _values(kind: Any, table: Any, place: str, problems: Problems) -> dict[str, Any]:
    """The values of a dataclass's fields that are as they should be."""
    if not isinstance(table, dict):
        problems.add(f"{place} = {table!r}; it is a table: write [{place}] and its keys below")
        return {}
    kinds = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    values = {}
    for key, value in table.items():
        if key not in known:
            where = f"[{place}]" if place else "the configuration"
            problems.add(f"{where} has no key {key!r}; {nearest(key, known)}")
            continue
        with problems.collecting():
            made = _value(kinds[key], value, f"{place}.{key}".strip("."), problems)
            if made is not None:
                values[key] = made
    for field in dataclasses.fields(kind):
        if field.name not in table and _default(field) is dataclasses.MISSING:
            problems.add(f"{place}{'.' * bool(place)}{field.name} is missing; it must be given")
    return values


def _dataclass(kind: Any, table: Any, place: str, problems: Problems) -> Any:
    """A dataclass from what is right of a table; None where that is not enough."""
    before = len(problems.texts)
    values = _values(kind, table, place, problems)
    required = {field.name for field in dataclasses.fields(kind) if _default(field) is dataclasses.MISSING}
    if not required <= values.keys():
        return None
    try:
        return kind(**values)
    except ConfigError as error:
        if len(problems.texts) == before:  # else it may follow from what is known to be wrong
            problems.add(str(error))
        return None


def _value(kind: Any, value: Any, place: str, problems: Problems) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place, problems)
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            choices = [str(choice) for choice in get_args(kind)]
            raise ConfigError(f"{place} = {_toml(value)}; {nearest(str(value), choices)}")
        return value
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, place, problems)
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{place} = {value!r}; it is a table")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ConfigError(f"{place} = {_toml(value)}; it is {_WORDS[kind]}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, place: str, problems: Problems) -> tuple[Any, ...]:
    if not isinstance(value, list):
        mend = f"write [[{place}]]" if dataclasses.is_dataclass(kinds[0]) else "write [ , ]"
        raise ConfigError(f"{place} = {value!r}; it is a list: {mend}")
    if kinds[-1] is not Ellipsis and len(value) != len(kinds):
        raise ConfigError(f"{place} = {value!r}; it is a list of {len(kinds)}")
    made = (_value(kinds[0], item, place, problems) for item in value)
    return tuple(item for item in made if item is not None)


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
