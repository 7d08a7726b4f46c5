"""Joining the parts of one post to its caption."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from hakubooru.caption.format import KEEP, LABEL_PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.caption.format import CaptionFormat

Parts: TypeAlias = dict[str, list[str]]
"""The words of each part of a format, spelt as in a caption."""


def join_parts(parts: Parts, format: CaptionFormat) -> str:
    """Return the caption of a post from its parts."""
    if format.layout == "json":
        return json.dumps(record(parts, format), ensure_ascii=False)
    head: list[str] = [format.before]
    tail: list[str] = []
    side = head
    for name in format.order:
        if name == KEEP:
            side = tail
        else:
            side += parts[name]
    side.append(format.after)
    return join_sides(_joined(head, format), _joined(tail, format), format)


def count_parts(parts: Parts, format: CaptionFormat) -> dict[str, int]:
    """Return how many tags of a caption each part has, in the caption's order; parts without tags are left out."""
    named = {"before": [format.before], **parts, "after": [format.after]}
    pieces = {
        name: [word.count(format.separator) + 1 for word in words if word] for name, words in named.items()
    }
    return {name: sum(counts) for name, counts in pieces.items() if counts}


def join_sides(head: str, tail: str, format: CaptionFormat) -> str:
    """Join the text before the keep separator and the text after it.

    If a side is empty, the blanks of the separator on that side are dropped.
    """
    if KEEP not in format.order:
        return head
    separator = format.keep_separator
    if not head:
        separator = separator.lstrip()
    if not tail:
        separator = separator.rstrip()
    return f"{head}{separator}{tail}"


def record(parts: Parts, format: CaptionFormat) -> dict[str, str | list[str]]:
    """Return the parts as a JSON object: lists of tags, labels as text, and free text if the format has some."""
    fields: dict[str, str | list[str]] = {"before": format.before} if format.before else {}
    for name, words in parts.items():
        fields[name] = _joined(words, format) if name in LABEL_PARTS else words
    return fields | ({"after": format.after} if format.after else {})


def _joined(words: Iterable[str], format: CaptionFormat) -> str:
    return format.separator.join(word for word in words if word)
