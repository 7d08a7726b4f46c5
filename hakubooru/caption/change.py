"""Changing a caption at each training step: shuffle its tags; drop tags, parts, or the whole caption.

The random numbers are SHAKE-128 (FIPS 202) of the seed, written as a decimal number: eight bytes for each tag, read
as a little-endian number. Tags are sorted by their numbers. A tag is dropped if the lower half of its number lies
below the rate. So one seed gives one caption, on every platform and in every version of Python and NumPy. A group of tags
has numbers of its own, of the seed and the place of the group.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import shake_128
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import numpy as np

from hakubooru.caption.format import LABEL_PARTS, TAG_PARTS
from hakubooru.errors import InputError
from hakubooru.nearest import nearest
from hakubooru.quantity import quantity
from hakubooru.settings import Bounds, check, toml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_HALF: Final = 0xFFFFFFFF
_NUMBER: Final = np.dtype("<u8")


class Sides(NamedTuple):
    """The tags of a caption, split by whether they may change."""

    before: list[str]
    """Tags that stay in place at the beginning."""
    changed: list[str]
    """Tags that are shuffled and dropped."""
    after: list[str]
    """Tags that stay in place at the end."""


@dataclass(frozen=True, kw_only=True)
class CaptionChange:
    """Changes a caption at a training step: call it with a caption and a seed.

    Epsilon's run had `CaptionChange(drop_tags=0.15)`, Delta's had 0.1.

    Only tags after the keep separator change; without a separator, all tags change. Tags after a second keep separator
    stay too, as with `keep_tokens_separator` in sd-scripts. The separators are removed. With the caption's parts, only
    the general tags change.

    A caption is split into tags as in sd-scripts: at the separator, with or without blanks beside it (`1girl,solo`),
    at tabs, and at line ends. Empty tags are left out.

    With a `group_separator`, the tags that may change lie in groups, as in the captions of Kohaku HDM. They are shuffled and
    dropped within their group, and groups are shuffled and dropped as a whole. The caption's parts are then not used. HDM's
    run had `CaptionChange(separator="$$", group_separator="%%", written_separator=", ", shuffle_groups=True, drop_tags=0.25,
    drop_groups=0.3)` (github.com/KohakuBlueleaf/HDM, src/hdm/data/kohya.py).

    Raises:
        InputError: a rate is not from 0 to 1, the separator is empty, `drop_parts` has an unknown part, or options exclude
            each other.
    """

    shuffle: bool = True
    """Put the tags in a random order."""
    drop_tags: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that a tag is dropped, 0 to 1; with `exact`, the share of tags that are dropped."""
    exact: bool = False
    """Drop exactly the share `drop_tags` of the tags, rounded to a whole number of tags; with groups, of each group's."""
    drop_parts: Mapping[str, float] = field(default_factory=dict)
    """The chance that a whole part (artist, quality, …) is dropped, by part; needs the caption's parts."""
    text_only: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that a caption with a text (its part `text`) loses its general tags; needs the caption's parts."""
    tags_only: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that a caption with general tags and a text loses the text. The two chances exclude each other: they add up to
    1 at most, and else both stay."""
    drop_caption: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that the whole caption is dropped."""
    separator: str = ", "
    """The text between two tags."""
    keep_separator: str = "|||"
    """The text before the tags that may change, and after them if the last tags are to stay; "" for none."""
    group_separator: str = ""
    """The text between two groups of tags, such as "%%"; "" if tags are not in groups."""
    shuffle_groups: bool = False
    """Put the groups in a random order; needs `group_separator`."""
    drop_groups: Annotated[float, Bounds(0, 1)] = 0.0
    """The chance that a whole group is dropped; needs `group_separator`."""
    written_separator: str = ""
    """The text between two tags of a changed caption; "" for `separator`."""

    def __post_init__(self) -> None:
        check(self, "captions")
        if not self.separator:
            raise InputError('captions.separator is empty; write the text between two tags, such as ", "')
        self._check_groups()
        if self.text_only + self.tags_only > 1:
            raise InputError(
                f"captions.text_only + captions.tags_only = {self.text_only + self.tags_only:g}; they exclude each other, "
                "write rates that add up to 1 at most"
            )
        for part, rate in self.drop_parts.items():
            if part not in (*TAG_PARTS, *LABEL_PARTS):
                raise InputError(
                    f"captions.drop_parts has no part {part!r}; {nearest(part, (*TAG_PARTS, *LABEL_PARTS))}"
                )
            if type(rate) not in (int, float) or not 0 <= rate <= 1:
                raise InputError(f"captions.drop_parts.{part} = {toml(rate)}; write a number from 0 to 1")

    def _check_groups(self) -> None:
        if self.group_separator and self.group_separator.strip() in ("", self.separator.strip()):
            raise InputError(
                f"captions.group_separator = {toml(self.group_separator)} is blank or the separator of tags; write another "
                'text, such as "%%"'
            )
        if self.group_separator and self.needs_parts:
            raise InputError(
                "captions.group_separator excludes drop_parts, text_only and tags_only, which need the parts of captions; "
                "leave one of them out"
            )
        if not self.group_separator and (self.shuffle_groups or self.drop_groups):
            raise InputError(
                "captions.shuffle_groups and drop_groups need captions.group_separator, the text between two groups, such "
                'as "%%"'
            )

    def __call__(self, caption: str, seed: int, parts: Mapping[str, int] | str | None = None) -> str:
        """Return the caption of one step.

        Args:
            caption: a caption as `Captioner.captions` or an export wrote it.
            seed: any whole number; a trainer mixes it from its own seed, the epoch and the sample.
            parts: how many tags each part has, in the caption's order: as `Captioner.captioned` gives it, or as JSON, as a
                manifest keeps it. None, "" and NaN mean that the parts are not known. Not used with a `group_separator`.

        Raises:
            InputError: the parts do not fit the caption, or they are needed and missing.
        """
        if self.drop_caption and chance(seed, "caption") < self.drop_caption:
            return ""
        if self.group_separator:
            before, _, after = self._sides(caption, None)
            return self.joined([*before, *self._changed_groups(caption, seed), *after])
        counts = _counts(parts)
        if counts is None and self.needs_parts:
            raise InputError(
                "captions.drop_parts, text_only and tags_only need the parts of each caption; a manifest that `export` wrote "
                "has them"
            )
        dropped = {part for part, rate in self.drop_parts.items() if chance(seed, part) < rate}
        if counts and {"general", "text"} <= counts.keys() and (self.text_only or self.tags_only):
            number = chance(seed, "text or tags")
            if number < self.text_only:
                dropped.add("general")
            elif number < self.text_only + self.tags_only:
                dropped.add("text")
        before, changed, after = self._sides(caption, counts, dropped)
        return self.joined([*before, *self._changed(changed, b"%d" % seed), *after])

    @property
    def needs_parts(self) -> bool:
        """Whether captions can be changed only with their parts."""
        return bool(self.drop_parts or self.text_only or self.tags_only)

    def sides(self, caption: str, parts: Mapping[str, int] | str | None = None) -> Sides:
        """Split a caption into the tags that stay and the tags that may change.

        Args:
            caption: a caption as `Captioner.captions` or an export wrote it.
            parts: how many tags each part has, as in a call of this object.

        Raises:
            InputError: the parts do not fit the caption.
        """
        return self._sides(caption, None if self.group_separator else _counts(parts))

    def joined(self, tags: Iterable[str]) -> str:
        """Join tags as a changed caption has them."""
        return (self.written_separator or self.separator).join(tags)

    def _sides(self, caption: str, counts: Mapping[str, int] | None, dropped: Collection[str] = ()) -> Sides:
        texts = self._texts(caption)
        if counts is None:
            return Sides(*map(self._tags, texts))
        total = sum(counts.values())
        # A tag of free text may hold commas, and the parts of an export count it as one tag. In a format without a keep
        # separator, a tag may hold that.
        for split, pieces in ((self._exact, texts), (self._exact, ("", caption, "")), (self._tags, texts)):
            before, middle, after = map(split, pieces)
            words = [*before, *middle, *after]
            if len(words) == total:
                break
        else:
            raise InputError(
                f"the parts {dict(counts)} have {quantity(total, 'tag')}, but the caption has {len(words)}: "
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
        """Split a caption into the texts before the first keep separator, after it, and after the second."""
        if not self.keep_separator or self.keep_separator not in caption:
            return "", caption, ""
        before, middle, *after = caption.split(self.keep_separator)
        return before, middle, self.separator.join(map(str.strip, after))

    def _tags(self, text: str) -> list[str]:
        if not text:
            return []
        if self.group_separator or "\t" in text or len(text.splitlines()) > 1:
            pieces = _between(self.separator, self.group_separator).split(text)
        else:  # one line without tabs: twice as fast
            pieces = text.split(self.separator.strip() or self.separator)
        return [*filter(None, map(str.strip, pieces))]

    def _exact(self, text: str) -> list[str]:
        """Split a text at the exact separator, as an export joined it; drop separators beside a keep separator."""
        beside = self.separator.strip()
        text = text.strip().removeprefix(beside).removesuffix(beside).strip()
        return text.split(self.separator) if text else []

    def _changed_groups(self, caption: str, seed: int) -> list[str]:
        """Return the tags that may change, of the groups that are not dropped, in the order of one step."""
        texts = self._texts(caption)[1].split(self.group_separator)
        groups = [tags for text in texts if (tags := self._tags(text))]
        places = [*range(len(groups))]
        if self.shuffle_groups:
            places.sort(key=lambda place: chance(seed, f"order of group {place}"))
        changed: list[str] = []
        for place in places:
            if chance(seed, f"group {place}") >= self.drop_groups:
                changed += self._changed(groups[place], b"%d tags of group %d" % (seed, place))
        return changed

    def _changed(self, words: Sequence[str], source: bytes) -> list[str]:
        """Shuffle and drop tags, by random numbers of a text that has the seed."""
        numbers = np.frombuffer(shake_128(source).digest(8 * len(words)), _NUMBER)
        order = numbers.argsort(kind="stable") if self.shuffle else np.arange(len(words))
        if self.drop_tags:
            halves = numbers & _HALF
            limit = int(self.drop_tags * (_HALF + 1))
            if self.exact:
                least = np.sort(halves)[int(self.drop_tags * len(words) + 0.5) :]
                limit = int(least[0]) if len(least) else _HALF + 1
            order = order[(halves >= limit)[order]]
        return [words[place] for place in order.tolist()]


def _counts(parts: Mapping[str, int] | str | None) -> Mapping[str, int] | None:
    """Return the parts as a table, from a table or from JSON; None if they are not known."""
    if parts is None or parts == "" or parts != parts:  # noqa: PLR0124 - pandas has NaN where a manifest has none
        return None
    try:
        counts = json.loads(parts) if isinstance(parts, str) else parts
    except ValueError:
        counts = None
    if not isinstance(counts, Mapping) or not all(type(count) is int for count in counts.values()):
        raise InputError(
            f'parts are {str(parts)[:80]!r}; give how many tags each part has, such as {{"people": 1, "general": 12}}, '
            "as a table or as JSON"
        )
    return counts


@lru_cache(maxsize=16)
def _between(*separators: str) -> re.Pattern[str]:
    """Return the pattern that splits tags: a separator without its blanks, a tab, or a line end."""
    marks = [re.escape(separator.strip() or separator) for separator in separators if separator]
    return re.compile("|".join([*marks, r"[\t\n\v\f\r]"]))


def chance(seed: int, name: str) -> float:
    """Return a number in [0, 1) that depends only on a seed and a name: 53 bits of SHAKE-128 of both."""
    (number,) = struct.unpack("<Q", shake_128(b"%d %s" % (seed, name.encode())).digest(8))
    return float(number >> 11) / (1 << 53)
