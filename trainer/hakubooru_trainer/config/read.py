"""Reads a configuration: TOML into dataclasses, overrides from the command line, and back to TOML."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from hakubooru import settings
from hakubooru.errors import ConfigError
from hakubooru.overrides import override
from hakubooru.settings import Problems, dump
from hakubooru_trainer.config.options import Options
from hakubooru_trainer.config.paths import check_sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["defaults", "dump", "flat", "help_text", "load"]

_OTHER_FILES: Final = {
    "a configuration of sd-scripts; docs/how-to/sd-scripts.md says what its keys are called here": {
        "pretrained_model_name_or_path",
        "train_data_dir",
        "network_module",
        "datasets",
    },
    "a recipe, which describes a data set; export it with `hakubooru export --recipe`, and name the export in [[data]]": {
        "strata",
        "filter",
        "query",
    },
}
"""Files that are easily taken for a configuration, and keys that only they have."""


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
    table = settings.read_toml(path, ConfigError, "a configuration file, such as examples/tiny.toml")
    _check_kind(path, table)
    problems = Problems()
    for text in overrides:
        with problems.collecting():
            override(table, text, example="optimizer.lr=1e-5", error=ConfigError)
    has_nul = _check_texts("", table, problems)
    sections = settings.read_values(Options, table, "", problems)
    options = None
    if not problems.texts:
        with problems.collecting():
            options = Options(**sections)
    if paths and not has_nul:  # the system takes no path with NUL
        check_sections(sections, problems)
    problems.raise_as(ConfigError, str(path))
    assert options is not None
    return options


def _check_kind(path: Path, table: Mapping[str, Any]) -> None:
    """Refuse a file of another program or purpose by the keys that only such a file has."""
    inner = (section for section in table.values() if isinstance(section, dict))
    keys = {*table, *(key for section in inner for key in section)}
    for what, marks in _OTHER_FILES.items():
        if keys & marks:
            raise ConfigError(f"{path} is {what}")


def _check_texts(place: str, value: object, problems: Problems) -> bool:
    """Note the texts with a NUL character, which no path can have; whether there are any."""
    if isinstance(value, str) and "\0" in value:
        problems.add(f"{place} = {settings.toml(value)}; write a text without NUL characters")
        return True
    if isinstance(value, dict):
        inner = [(f"{place}.{key}".strip("."), one) for key, one in value.items()]
    else:
        inner = [(place, one) for one in value] if isinstance(value, list) else []
    return sum(_check_texts(name, one, problems) for name, one in inner) > 0


def help_text() -> str:
    """List every key with its documentation and default, as TOML that can be copied."""
    return settings.help_text(Options)


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


def _reset(table: Any) -> Any:
    """A section whose values are the defaults, where there are any."""
    kept = [field for field in dataclasses.fields(table) if settings.default(field) is dataclasses.MISSING]
    return type(table)(**{field.name: getattr(table, field.name) for field in kept})
