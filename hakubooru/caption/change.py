"""What training does to a caption at each step: tags shuffled, tags, parts or all of it dropped.

The randomness is SHAKE-128 (FIPS 202) of the seed, written as a decimal number: eight bytes for each tag, read as
a little-endian number. Tags are sorted by their numbers; a tag is dropped when the lower half of its number lies
below the rate. So one seed gives one caption, on every platform and in every version of Python and NumPy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import shake_128
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from hakubooru.caption.format import LABEL_PARTS, TAG_PARTS
from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HALF: Final = 0xFFFFFFFF
_of_pair = itemgetter(1)


@dataclass(frozen=True, kw_only=True)
class CaptionChange:
    """What is done to a caption at a step. Epsilon's run had `CaptionChange(drop_tags=0.15)`, Delta's 0.1.

    Called with a caption and a seed, it acts on all that stands behind the keep separator (on all, where there
    is none), and takes the separator out; nothing before it moves. Given the caption's parts too, it shuffles
    and drops the general tags alone.

    Raises:
        InputError: a rate is not from 0 to 1, or a part is none.
    """

    shuffle: bool = True
    """Put the tags in a random order."""
    drop_tags: float = 0.0
    """The share of tags that are dropped: the chance of each, unless `exact`."""
    exact: bool = False
    """Drop exactly that share of the tags, rounded to a whole number of them."""
    drop_parts: Mapping[str, float] = field(default_factory=dict)
    """The chance that a part (artist, quality, …) is dropped as a whole; needs the caption's parts."""
    drop_caption: float = 0.0
    """The chance that nothing of the caption stays."""
    separator: str = ", "
    """What stands between two tags."""
    keep_separator: str = "|||"
    """What stands before the tags that may be changed."""

    def __post_init__(self) -> None:
        rates = {"drop_tags": self.drop_tags, "drop_caption": self.drop_caption}
        for part, rate in self.drop_parts.items():
            if part not in (*TAG_PARTS, *LABEL_PARTS):
                raise InputError(
                    f"`drop_parts` has {part!r}; parts are {', '.join((*TAG_PARTS, *LABEL_PARTS))}"
                )
            rates[f"drop_parts.{part}"] = rate
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise InputError(f"`{name}` is {rate}; a rate lies from 0 to 1")

    def __call__(self, caption: str, seed: int, parts: Mapping[str, int] | None = None) -> str:
        """The caption of one step.

        Args:
            caption: as `Captioner.captions` or an export wrote it.
            seed: any whole number; a trainer mixes it from its own seed, the epoch and the sample.
            parts: how many of its tags each part has, in their order, as `Captioner.captioned` gives it and a
                manifest keeps it.

        Raises:
            InputError: the parts are not the caption's, or they are needed and not given.
        """
        if self.drop_caption and chance(seed, "caption") < self.drop_caption:
            return ""
        head, tail = self._sides(caption)
        if parts is not None:
            words = self._among_parts(head, tail, seed, parts)
        elif self.drop_parts:
            raise InputError(
                "`drop_parts` needs the parts of each caption; a manifest that `export` wrote has them"
            )
        else:
            words = self._changed(tail.split(self.separator) if tail else [], seed)
            if head:
                words.insert(0, head)
        return self.separator.join(words)

    def _sides(self, caption: str) -> tuple[str, str]:
        """What stands before the keep separator and what after it, without the separators beside it."""
        head, mark, tail = caption.partition(self.keep_separator)
        if not mark:
            return "", caption.strip()
        between = self.separator.strip()
        return head.strip().removesuffix(between).rstrip(), tail.strip().removeprefix(between).lstrip()

    def _changed(self, words: Sequence[str], seed: int) -> list[str]:
        numbers = struct.unpack(f"<{len(words)}Q", shake_128(b"%d" % seed).digest(8 * len(words)))
        pairs = list(zip(numbers, words, strict=True))
        if self.drop_tags:
            if self.exact:
                least = sorted(number & _HALF for number in numbers)[int(self.drop_tags * len(words) + 0.5) :]
                limit = least[0] if least else _HALF + 1
            else:
                limit = int(self.drop_tags * (_HALF + 1))
            pairs = [pair for pair in pairs if pair[0] & _HALF >= limit]
        if self.shuffle:
            pairs.sort()
        return [*map(_of_pair, pairs)]

    def _among_parts(self, head: str, tail: str, seed: int, parts: Mapping[str, int]) -> list[str]:
        before, after = (side.split(self.separator) if side else [] for side in (head, tail))
        words = before + after
        if sum(parts.values()) != len(words):
            raise InputError(
                f"the parts {dict(parts)} are not those of a caption of {len(words)} tags: "
                f"{self.separator.join(words)[:80]!r}"
            )
        left: list[str] = []
        end = 0
        for part, count in parts.items():
            start, end = end, end + count
            if part in self.drop_parts and chance(seed, part) < self.drop_parts[part]:
                continue
            changed = part == "general" and start >= len(before)
            left += self._changed(words[start:end], seed) if changed else words[start:end]
        return left


def chance(seed: int, what: str) -> float:
    """A number in [0, 1) that depends on a seed and a name alone."""
    (number,) = struct.unpack("<Q", shake_128(b"%d %s" % (seed, what.encode())).digest(8))
    return float(number >> 11) / (1 << 53)
