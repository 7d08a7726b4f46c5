"""Prompts of sample pictures: a text file with one a line, as sd-scripts has them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, Self

from hakubooru.errors import InputError
from hakubooru.files import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OPTIONS: Final[dict[str, tuple[str, type[str | int | float]]]] = {
    "n": ("negative", str),
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "s": ("steps", int),
    "l": ("guidance", float),
}
"""What a line may say of its picture, by sd-scripts' letter."""
_KNOWN: Final = "write --n (negative prompt), --w, --h (size), --d (seed), --s (steps) or --l (guidance)"


class Prompt(str):
    """What to draw, and in which options its picture differs from the others."""

    __slots__ = ("options",)
    options: Mapping[str, Any]

    def __new__(cls, text: str, options: Mapping[str, Any]) -> Self:
        """A prompt with options by the names of `Drawing`."""
        prompt = super().__new__(cls, text)
        prompt.options = options
        return prompt


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a text file; empty lines and those that begin with # are none.

    Raises:
        InputError: it cannot be read, has none, or an option of a prompt is not known or cannot be.
    """
    if path.suffix.lower() in {".json", ".toml"}:
        raise InputError(f"{path}: prompts are read from a text file, such as prompts.txt, one a line")
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as prompts ({error}); it is a text file in UTF-8, a prompt a line"
        ) from error
    prompts = [
        _prompt(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    ]
    if not prompts:
        raise InputError(f"{path} has no prompts; write one a line")
    return prompts


def _prompt(line: str, place: str) -> Prompt:
    text, *words = re.split(r"(?:^|\s+)--(?=[^\s-])", line)
    if not text:
        raise InputError(f"{place} has no prompt before its first option; write 1girl, solo --w 832")
    return Prompt(text, dict(_option(word, place) for word in words))


def _option(word: str, place: str) -> tuple[str, Any]:
    letter, _, value = word.partition(" ")
    if letter.lower() not in _OPTIONS:
        raise InputError(f"{place}: --{letter} is not known here; {_KNOWN}")
    name, kind = _OPTIONS[letter.lower()]
    try:
        option: Any = kind(value.strip())
    except ValueError as error:
        raise InputError(f"{place}: --{word} is no number; {_KNOWN}") from error
    if name in {"width", "height"} and (option < 64 or option % 8):
        raise InputError(f"{place}: --{word} is no {name}; write a multiple of 8 from 64 on, such as 832")
    if name == "steps" and not 1 <= option <= 1000:
        raise InputError(f"{place}: --{word} is no number of steps; write 1 to 1000")
    if name == "seed" and not 0 <= option < 2**63:
        raise InputError(f"{place}: --{word} is no seed; write a whole number from 0 on")
    if name == "guidance" and not math.isfinite(option):
        raise InputError(f"{place}: --{word} is no number; write one such as 6.0")
    return name, option
