"""Writing tags in a caption: their spelling, and the patterns that choose them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from hakubooru.arrow import as_flags, integers, strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

Underscores: TypeAlias = Literal["short", "kaomoji", "keep"]
"""The names that keep underscores: those of three characters or fewer, kaomoji only, or all."""

_COUNTS: Final = ("1", "2", "3", "4", "5", "6+")
PEOPLE: Final = (
    "male_focus",
    *(f"{count}{who}{'s' * (count != '1')}" for who in ("girl", "boy", "other") for count in _COUNTS),
    *(f"multiple_{who}" for who in ("girls", "boys", "others")),
)
"""General tags that count the people of a picture."""

KAOMOJI: Final = (
    "^_^", ">_<", "@_@", "+_+", "=_=", "o_o", "|_|", "0_0", "u_u", ">_o", "._.", "x_x", "<|>_<|>", "<o>_<o>", "t_t",
    "3_3", "6_9", "+_-", "o_x", "(o)_(o)", "||_||",
)  # fmt: skip
"""The faces among Danbooru's tags, in which an underscore is part of the drawing."""

_SHORT = 3


class TagLists(NamedTuple):
    """Lists of tags for each part, and for `any` part: names, or patterns in which `*` stands for any characters."""

    people: tuple[str, ...] = ()
    character: tuple[str, ...] = ()
    copyright: tuple[str, ...] = ()
    artist: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    any: tuple[str, ...] = ()


def spelt(
    names: pa.StringArray, underscores: Underscores = "short", *, escape: bool = False
) -> pa.StringArray:
    r"""Return tags as a caption writes them: underscores become spaces.

    Args:
        names: tag names, (N,).
        underscores: the names that keep their underscores.
        escape: write a backslash before `\`, `(`, `)`, `[` and `]`.
    """
    import pyarrow as pa  # noqa: PLC0415 - loaded with the first caption, not with the package
    import pyarrow.compute as pc  # noqa: PLC0415

    words = names
    if underscores != "keep":
        short = underscores == "short"
        longest = integers([_SHORT], pa.int32())[0]
        stays = pc.less_equal(pc.utf8_length(names), longest) if short else pc.is_in(names, strings(KAOMOJI))
        words = pc.if_else(stays, names, pc.replace_substring(names, "_", " "))
    return pc.replace_substring_regex(words, r"([\\()\[\]])", r"\\\1") if escape else words


def matches(names: pa.StringArray, patterns: Sequence[str]) -> Flags:
    """Return which names match one of some names and patterns, (N,) bool.

    Args:
        names: tag names, (N,).
        patterns: names or patterns; `*` stands for any characters, and no other sign is special.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - loaded with the first caption, not with the package

    choices = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return as_flags(pc.match_substring_regex(names, f"(?s)^(?:{choices})$"))
