"""Reading prompts of sample pictures from a text file, one a line, as in sd-scripts."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, Self

from hakubooru.errors import InputError
from hakubooru.files import read_text
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LONGEST_SIDE: Final = 8192
"""The longest side of a sample picture, in pixels; a mistyped zero would otherwise take all memory of the machine."""

_OPTIONS: Final[dict[str, tuple[str, type[str | int | float]]]] = {
    "n": ("negative", str),
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "s": ("steps", int),
    "l": ("guidance", float),
    "ss": ("sampler", str),
}
"""The options of a line by sd-scripts' letters, with their names in `Drawing` and their types."""
_KNOWN: Final = (
    "write --n (negative prompt), --w, --h (size), --d (seed), --s (steps), --l (guidance) or --ss (sampler)"
)
SAMPLERS: Final = {
    "ddim": "ddim",
    "euler_a": "euler_a",
    "k_euler_a": "euler_a",
    "dpmpp_2m": "dpmpp_2m",
    "dpmsolver++": "dpmpp_2m",
}
"""The samplers by their names in a prompt, sd-scripts' own names among them."""


class Prompt(str):
    """A prompt with the options of its picture that differ from the other pictures'."""

    __slots__ = ("options",)
    options: Mapping[str, Any]

    def __new__(cls, text: str, options: Mapping[str, Any]) -> Self:
        """Make a prompt; the options have the names of `Drawing`."""
        prompt = super().__new__(cls, text)
        prompt.options = options
        return prompt


def read_prompts(path: Path) -> list[Prompt]:
    """Read the prompts of a text file. Empty lines, and lines that begin with #, are skipped.

    Raises:
        InputError: the file cannot be read or has no prompt, or a prompt has an unknown or wrong option.
    """
    if path.suffix.lower() in {".json", ".toml"}:
        raise InputError(
            f"{path} is not a text file of prompts; write one such as prompts.txt, with one prompt a line"
        )
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as prompts ({error}); name a text file in UTF-8 with one prompt a line"
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
        raise InputError(
            f"{place} has no prompt before its first option; write the prompt first: 1girl, solo --w 832"
        )
    return Prompt(text, dict(_option(word, place) for word in words))


def _option(word: str, place: str) -> tuple[str, Any]:
    letter, _, value = word.partition(" ")
    if letter.lower() not in _OPTIONS:
        raise InputError(f"{place}: --{letter} is not an option of prompts; {_KNOWN}")
    name, kind = _OPTIONS[letter.lower()]
    try:
        option: Any = kind(value.strip())
    except ValueError as error:
        raise InputError(f"{place}: --{word} has no number after it; {_KNOWN}") from error
    if name in {"width", "height"} and (not 64 <= option <= LONGEST_SIDE or option % 8):
        raise InputError(
            f"{place}: --{word} is not a {name}; write a multiple of 8, from 64 to {LONGEST_SIDE}, such as 832"
        )
    if name == "steps" and not 1 <= option <= 1000:
        raise InputError(f"{place}: --{word} is not a number of steps; write 1 to 1000")
    if name == "sampler":
        if option not in SAMPLERS:
            raise InputError(f"{place}: --{word} is not a sampler that is here; {nearest(option, SAMPLERS)}")
        return name, SAMPLERS[option]
    if name == "seed" and not 0 <= option < 2**63:
        raise InputError(f"{place}: --{word} is not a seed; write a whole number, 0 or more")
    if name == "guidance" and not math.isfinite(option):
        raise InputError(f"{place}: --{word} is not a finite number; write one such as 6.0")
    return name, option
