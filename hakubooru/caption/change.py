"""What training does to a caption at each step: tags shuffled, tags, parts or all of it dropped.

The randomness is SHAKE-128 (FIPS 202) of the seed, written as a decimal number: eight bytes for each tag, read as
a little-endian number. Tags are sorted by their numbers; a tag is dropped when the lower half of its number lies
below the rate. So one seed gives one caption, on every platform and in every version of Python and NumPy.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import shake_128
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from hakubooru.caption.format import LABEL_PARTS, TAG_PARTS
from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_HALF: Final = 0xFFFFFFFF
_of_pair = itemgetter(1)


class Sides(NamedTuple):
    """The tags of a caption, by what may happen to them."""

    before: list[str]
    """Stay in place, in front."""
    changed: list[str]
    """Are shuffled and dropped."""
    after: list[str]
    """Stay in place, at the end."""


@dataclass(frozen=True, kw_only=True)
class CaptionChange:
    """What is done to a caption at a step. Epsilon's run had `CaptionChange(drop_tags=0.15)`, Delta's 0.1.

    Called with a caption and a seed, it acts on all that stands behind the keep separator (on all, where there
    is none), and takes the separator out; nothing before it moves. A second keep separator ends what may be changed, as
    `keep_tokens_separator` does in sd-scripts. Given the caption's parts too, it shuffles and drops the general tags alone.

    Tags are told apart as in sd-scripts: by the separator with blanks beside it or without (`1girl,solo`), and by tabs
    and line ends. Empty ones are left out.

    Raises:
        InputError: a rate is not from 0 to 1, the separator is empty, or `drop_parts` has an unknown part.
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
    """What stands before the tags that may be changed, and again behind them where the last ones are to stay; "" for none."""

    def __post_init__(self) -> None:
        if not self.separator:
            raise InputError('`separator` is empty; write what stands between two tags, such as ", "')
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

    def __call__(self, caption: str, seed: int, parts: Mapping[str, int] | str | None = None) -> str:
        """The caption of one step.

        Args:
            caption: as `Captioner.captions` or an export wrote it.
            seed: any whole number; a trainer mixes it from its own seed, the epoch and the sample.
            parts: how many of its tags each part has, in their order: as `Captioner.captioned` gives it, or as JSON, as a
                manifest keeps it. Where a manifest has none, nothing is known of parts.

        Raises:
            InputError: the parts are not the caption's, or they are needed and not given.
        """
        if self.drop_caption and chance(seed, "caption") < self.drop_caption:
            return ""
        counts = _counts(parts)
        if counts is None and self.drop_parts:
            raise InputError(
                "`drop_parts` needs the parts of each caption; a manifest that `export` wrote has them"
            )
        dropped = {part for part, rate in self.drop_parts.items() if chance(seed, part) < rate}
        before, changed, after = self._sides(caption, counts, dropped)
        return self.separator.join([*before, *self._changed(changed, seed), *after])

    def sides(self, caption: str, parts: Mapping[str, int] | str | None = None) -> Sides:
        """The tags of a caption: those that stay, and those that are shuffled and dropped; arguments as in a call.

        Raises:
            InputError: the parts are not the caption's.
        """
        return self._sides(caption, _counts(parts))

    def _sides(self, caption: str, counts: Mapping[str, int] | None, dropped: Collection[str] = ()) -> Sides:
        texts = self._texts(caption)
        if counts is None:
            return Sides(*map(self._tags, texts))
        total = sum(counts.values())
        # A caption of an export may have commas within a tag of free text, which its parts count as one.
        for split in (self._exact, self._tags):
            before, middle, after = map(split, texts)
            words = [*before, *middle, *after]
            if len(words) == total:
                break
        else:
            raise InputError(
                f"the parts {dict(counts)} are not those of a caption of {len(words)} tags: "
                f"{self.separator.join(words)[:80]!r}"
            )
        sides = Sides([], [], [])
        stays, end = sides.before, 0
        for part, count in counts.items():
            start, end = end, end + count
            side = stays
            if part == "general" and len(before) <= start and end <= len(before) + len(middle):
                side, stays = sides.changed, sides.after
            if part not in dropped:
                side += words[start:end]
        return sides

    def _texts(self, caption: str) -> tuple[str, str, str]:
        """What stands before the keep separator, behind it, and behind the second one."""
        if not self.keep_separator or self.keep_separator not in caption:
            return "", caption, ""
        before, _, rest = caption.partition(self.keep_separator)
        middle, _, after = rest.partition(self.keep_separator)
        pieces = (piece.strip() for piece in after.split(self.keep_separator))
        return before, middle, self.separator.join(pieces)

    def _tags(self, text: str) -> list[str]:
        return [tag for piece in _between(self.separator).split(text) if (tag := piece.strip())]

    def _exact(self, text: str) -> list[str]:
        """Tags as an export joined them, without the separators beside a keep separator."""
        beside = self.separator.strip()
        text = text.strip().removeprefix(beside).removesuffix(beside).strip()
        return text.split(self.separator) if text else []

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


def _counts(parts: Mapping[str, int] | str | None) -> Mapping[str, int] | None:
    """The parts as a table, from any of the ways that they are given."""
    if parts is None or parts == "" or parts != parts:  # noqa: PLR0124 - pandas has NaN where a manifest has none
        return None
    try:
        counts = json.loads(parts) if isinstance(parts, str) else parts
    except ValueError:
        counts = None
    if not isinstance(counts, Mapping) or not all(type(count) is int for count in counts.values()):
        raise InputError(
            f'parts are {str(parts)[:80]!r}; give how many tags each part has, such as {{"people": 1, "general": 12}}, '
            "or that as JSON, as a manifest has it"
        )
    return counts


@lru_cache(maxsize=16)
def _between(separator: str) -> re.Pattern[str]:
    """What stands between two tags: the separator, with blanks or without, or a tab or the end of a line."""
    return re.compile(f"{re.escape(separator.strip() or separator)}|[\\t\\n\\v\\f\\r]")


def chance(seed: int, what: str) -> float:
    """A number in [0, 1) that depends on a seed and a name alone."""
    (number,) = struct.unpack("<Q", shake_128(b"%d %s" % (seed, what.encode())).digest(8))
    return float(number >> 11) / (1 << 53)
