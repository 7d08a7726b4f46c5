"""Settings: tables of TOML are read into frozen dataclasses, and dataclasses are written as TOML and as help.

The annotations of a dataclass say what is read:

    str, int, float, bool          a value of that type; a whole number may stand for a float
    Literal["a", "b"]              one of the choices
    Annotated[int, Bounds(1)]      a number within bounds, both included
    Annotated[object, Parse(f)]    what `f(value, place)` returns; it raises `InputError`
    int | float                    a whole number or a fraction, as it is written
    X | None                       None, if the key is left out
    tuple[X, ...], tuple[X, Y]     a list; one text may stand for a list of texts
    dict, Mapping                  a table that its owner checks
    a dataclass, a named tuple     a table of its fields

A dataclass that users make in Python calls `check` first in `__post_init__`, so that it is checked there too.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import math
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from hakubooru.errors import InputError
from hakubooru.files import read_text
from hakubooru.nearest import nearest, unknown_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

_WORDS: Final = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


class Bounds(NamedTuple):
    """The least and the largest value of a number, both included."""

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        return f"from {self.least} to {self.most}" if self.most < math.inf else f"of at least {self.least}"


class Parse(NamedTuple):
    """A function that reads a value which no other annotation describes."""

    function: Callable[[Any, str], Any]
    """Takes the value and its place, such as `caption.date`, and returns what the field holds; raises `InputError`."""


class Problems:
    """A list of problems that independent checks note, so that one message can name all of them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @contextmanager
    def collecting(self, where: str = "") -> Iterator[None]:
        """Note an input error of the block, and do not raise it.

        Args:
            where: the beginning of its message, such as `lokr.start: `.
        """
        try:
            yield
        except InputError as error:
            self.add(f"{where}{error}")

    def add(self, text: str) -> None:
        """Note a problem, once."""
        if text not in self.texts:
            self.texts.append(text)

    def raise_as(self, kind: type[InputError], where: str = "") -> None:
        """Raise all problems as one error of one line; do nothing if there are none.

        Args:
            kind: the class of the error.
            where: what the problems are about, such as a file; it begins the message.

        Raises:
            InputError: there are problems; of the class `kind`.
        """
        if not self.texts:
            return
        text = self.texts[0]
        if len(self.texts) > 1:
            numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(self.texts, 1))
            text = f"{len(self.texts)} things are wrong: {numbered}"
        raise kind(f"{where}: {text}" if where else text)


def read_toml(path: Path, error: type[InputError], instead: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        error: the class of the errors.
        instead: what could be named instead, such as "a configuration file", for the message.

    Raises:
        InputError: the file cannot be read, or is not TOML; of the class `error`.
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}; name {instead}") from reason
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not text; write a TOML file in UTF-8") from reason
    except tomllib.TOMLDecodeError as reason:
        raise error(f"{path} is not TOML: {reason}") from reason


def read(kind: type[T], table: object, place: str, error: type[InputError] = InputError, **known: Any) -> T:
    """Make a dataclass of a table.

    Args:
        kind: the dataclass.
        table: the table.
        place: the name of the table, for messages; "" for a whole file.
        error: the class of the errors.
        known: values of fields that are no keys of the table.

    Raises:
        InputError: something is wrong; of the class `error`. The message names every key that is.
    """
    problems = Problems()
    values = read_values(kind, table, place, problems, known)
    problems.raise_as(error)
    return kind(**values)


def read_section(kind: type[T], value: T | Mapping[str, Any] | None, place: str) -> T:
    """Make a dataclass of a table; a value of the dataclass is returned unchanged, and None means the defaults.

    Raises:
        InputError: something is wrong; the message names every key that is.
    """
    return value if isinstance(value, kind) else read(kind, {} if value is None else value, place)


def read_values(
    kind: Any, table: object, place: str, problems: Problems, known: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """Read the values of a dataclass's fields, those that are right; note what is wrong.

    Args:
        kind: the dataclass.
        table: the table.
        place: the name of the table, for messages; "" for a whole file.
        problems: where to note what is wrong.
        known: values of fields that are no keys of the table; they are returned too.
    """
    if not isinstance(table, Mapping):
        problems.add(f"{place} = {toml(table)} is not a table; write [{place}] and its keys below")
        return {}
    hints = _hints(kind)
    names = [name for name in hints if name not in known]
    values = dict(known)
    for text in unknown_keys(table, names):
        problems.add(f"{f'[{place}]' if place else 'the file'} has {text}")
    for key, value in table.items():
        if key in names:
            with problems.collecting():
                values[key] = _convert(hints[key], value, f"{place}.{key}".strip("."), problems)
    for field in dataclasses.fields(kind):
        if field.name not in {*table, *known} and default(field) is dataclasses.MISSING:
            key = f"{place}.{field.name}".strip(".")
            problems.add(f"{key} is missing; write it, since it has no default")
    return {key: value for key, value in values.items() if value is not _WRONG}


def check(options: DataclassInstance, place: str, error: type[InputError] = InputError) -> None:
    """Check the values of a frozen dataclass by their annotations, defaults apart: lists become tuples, tables classes.

    Raises:
        InputError: a field has a wrong value; of the class `error`. The message names every field that has.
    """
    problems = Problems()
    for name, hint in _hints(type(options)).items():
        with problems.collecting():
            value, initial = getattr(options, name), getattr(type(options), name, _WRONG)
            changed = value if value is initial else _convert(hint, value, f"{place}.{name}", problems)
            if changed is not value:
                object.__setattr__(options, name, changed)
    problems.raise_as(error)


_WRONG: Final = object()
"""Stands for a value whose problems are noted."""


def _convert(hint: Any, value: Any, place: str, problems: Problems) -> Any:
    """The value of a field, by its annotation; `_WRONG` if its problems are noted."""
    bounds = None
    if get_origin(hint) is Annotated:
        hint, mark = get_args(hint)
        if isinstance(mark, Parse):
            return mark.function(value, place)
        bounds = mark
    if get_origin(hint) in {Union, UnionType}:
        if value is None and NoneType in get_args(hint):
            return None
        kinds = [inner for inner in get_args(hint) if inner is not NoneType]
        hint = type(value) if type(value) in kinds else kinds[-1]
    origin: Any = get_origin(hint) or hint
    if origin is Literal:
        return _choice(get_args(hint), value, place)
    if origin in {dict, Mapping}:
        if not isinstance(value, Mapping):
            raise InputError(f"{place} = {toml(value)} is not a table; write {place} = {{name = value}}")
        return value
    if _is_dataclass(origin):
        return value if isinstance(value, origin) else _dataclass(hint, value, place, problems)
    if issubclass(origin, tuple):
        fields = getattr(hint, "_fields", None)
        return _list(get_args(hint), value, place, problems) if fields is None else _tuple(hint, value, place)
    return _scalar(hint, value, place, bounds)


def _scalar(kind: Any, value: Any, place: str, bounds: Bounds | None) -> Any:
    if kind is float and type(value) is int and abs(value) <= sys.float_info.max:
        value = float(value)
    wrong = type(value) is not kind or (kind is float and not math.isfinite(value))
    if wrong or (bounds is not None and not bounds.least <= value <= bounds.most):
        raise InputError(f"{place} = {toml(value)}; write {_WORDS[kind]}{f' {bounds}' if bounds else ''}")
    return value


def _choice(choices: tuple[Any, ...], value: Any, place: str) -> Any:
    if isinstance(value, bool) or value not in choices:
        raise InputError(f"{place} = {toml(value)}; {nearest(str(value), map(str, choices))}")
    return value


def _dataclass(kind: Any, table: object, place: str, problems: Problems) -> Any:
    before = len(problems.texts)
    values = read_values(kind, table, place, problems)
    required = {field.name for field in dataclasses.fields(kind) if default(field) is dataclasses.MISSING}
    if not required <= values.keys():
        return _WRONG
    try:
        return kind(**values)
    except InputError as error:
        if len(problems.texts) == before:  # else this error may only follow from one noted above
            problems.add(str(error))
        return _WRONG


def _list(kinds: tuple[Any, ...], value: Any, place: str, problems: Problems) -> tuple[Any, ...]:
    first: Any = kinds[0]
    if isinstance(value, str) and first is str:
        value = [value]
    if _is_dataclass(first) and not (
        isinstance(value, (list, tuple)) and all(isinstance(item, (Mapping, first)) for item in value)
    ):
        raise InputError(f"{place} = {toml(value)} is not a list of tables; write [[{place}]]")
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{place} = {toml(value)} is not a list; write [ , ]")
    if kinds[-1] is Ellipsis:
        kinds = (first,) * len(value)
    if len(value) != len(kinds):
        raise InputError(f"{place} = {toml(value)}; write a list of {len(kinds)}")
    values = (_convert(kind, item, place, problems) for kind, item in zip(kinds, value, strict=True))
    return tuple(item for item in values if item is not _WRONG)


def _is_dataclass(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _tuple(kind: Any, value: Any, place: str) -> Any:
    """Make a named tuple of a table of its fields."""
    table = value._asdict() if isinstance(value, kind) else value
    if not isinstance(table, Mapping):
        raise InputError(f"{place} = {toml(table)} is not a table; its keys are {', '.join(kind._fields)}")
    hints = _hints(kind)
    for name in table:
        if name not in hints:
            raise InputError(f"{place} has no key {name!r}; {nearest(name, hints)}")
    return kind(
        **{name: _convert(hints[name], item, f"{place}.{name}", Problems()) for name, item in table.items()}
    )


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    names = getattr(kind, "_fields", None) or [field.name for field in dataclasses.fields(kind)]
    return {name: hints[name] for name in names}


def default(field: dataclasses.Field[Any]) -> Any:
    """The default of a field; `dataclasses.MISSING` if it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def plain(value: Any) -> Any:
    """Convert settings to what TOML and JSON can hold: tables, lists and values; keys that are None are left out."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, tuple) else value


def dump(options: DataclassInstance) -> str:
    """Write a dataclass of sections as TOML, with every key."""
    lines: list[str] = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for section in value if isinstance(value, tuple) else (value,):
            lines.append(f"[[{field.name}]]" if isinstance(value, tuple) else f"[{field.name}]")
            keys = dataclasses.fields(section)
            lines += (f"{inner.name} = {toml(getattr(section, inner.name))}" for inner in keys)
            lines.append("")
    return "\n".join(lines)


def help_text(kind: Any) -> str:
    """List the keys of a dataclass of sections with their documentation and defaults, as TOML that can be copied."""
    lines: list[str] = []
    for name, hint in _hints(kind).items():
        many = get_origin(hint) is tuple
        section = get_args(hint)[0] if many else hint
        lines += [f"# {section.__doc__}", f"[[{name}]]" if many else f"[{name}]", *_keys(section), ""]
    return "\n".join(lines)


def _keys(section: Any) -> Iterator[str]:
    texts, hints = documentation(section), _hints(section)
    for field in dataclasses.fields(section):
        yield from textwrap.wrap(texts[field.name], 108, initial_indent="# ", subsequent_indent="# ")
        if get_origin(hints[field.name]) is Literal:
            yield f"# One of: {', '.join(map(toml, get_args(hints[field.name])))}."
        value = default(field)
        shown = " # must be given" if value is dataclasses.MISSING else toml(value)
        yield f"{field.name} = {shown}"


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


def toml(value: object) -> str:
    """Write a value as TOML does; one that TOML does not have, as Python does."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            # JSON leaves the sign DEL as it is, which TOML does not allow.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return str(value)
