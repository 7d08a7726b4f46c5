"""The text of one caption: its parts are joined, and shortened to a number of tags or CLIP tokens."""

from __future__ import annotations

import bisect
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hakubooru.caption.format import KEEP, LABEL_PARTS
from hakubooru.errors import CaptionFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hakubooru.caption.format import CaptionFormat

Parts: TypeAlias = dict[str, list[str]]
"""The words of each part of a format, spelt as in a caption."""


def join_parts(parts: Parts, format: CaptionFormat) -> str:
    """Return the caption of a post from its parts."""
    if format.layout == "json":
        return json.dumps(record(parts, format), ensure_ascii=False)
    head: list[str] = [format.before]
    tail: list[list[str]] = []
    for name in format.order:
        if name == KEEP:
            tail.append([])
        elif tail:
            tail.append(parts[name])
        else:
            head += parts[name]
    if KEEP in format.order:
        groups = [*tail, [format.after]]
        return join_sides(_joined(head, format), _grouped(groups, format), format)
    if not format.group_separator:
        return _joined([*head, format.after], format)
    return _grouped([[format.before], *(parts[name] for name in format.order), [format.after]], format)


def _grouped(groups: Iterable[Iterable[str]], format: CaptionFormat) -> str:
    texts = (_joined(words, format) for words in groups)
    return (format.group_separator or format.separator).join(text for text in texts if text)


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


def limiter(format: CaptionFormat) -> Callable[[Parts], Parts]:
    """Return a function that removes tags from parts until a format's limits hold.

    Raises:
        CaptionFormatError: the format counts tokens, but transformers or the tokenizer's folder is missing.
    """
    count = token_counter(format.tokenizer) if format.tokenizer is not None else None
    return lambda parts: trimmed(parts, format, count)


def trimmed(parts: Parts, format: CaptionFormat, count_tokens: Callable[[str], int] | None = None) -> Parts:
    """Return parts with as many tags as the limits allow; the last tag of the least important part goes first.

    Labels and free text stay, even if they alone exceed a limit.

    Args:
        parts: the words of a post, by part.
        format: has the limits, and in `trim` the order in which parts lose tags.
        count_tokens: counts the tokens of a text; needed if the format has `max_tokens`.
    """
    order = format.trim
    if "species" not in order:  # these tags were general ones before they had a part
        order = tuple(
            name for part in order for name in ((part, "species") if part == "general" else (part,))
        )
    steps = [part for part in order if part in parts for _ in parts[part]]
    tags = sum(len(words) for part, words in parts.items() if part not in LABEL_PARTS)
    least = 0 if format.max_tags is None else min(max(0, tags - format.max_tags), len(steps))
    if count_tokens is None or format.max_tokens is None:
        return _without(parts, steps[:least])

    def tokens(removed: int) -> int:
        return count_tokens(join_parts(_without(parts, steps[:removed]), format))

    # Fewer tags never make more tokens, so the number of removed tags can be bisected.
    choices = range(least, len(steps))
    removed = least + bisect.bisect_left(choices, -format.max_tokens, key=lambda n: -tokens(n))
    return _without(parts, steps[:removed])


def token_counter(folder: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text with a folder's CLIP tokenizer, without start and end marks.

    Raises:
        CaptionFormatError: transformers is not installed, or the folder holds no tokenizer.
    """
    try:
        import transformers  # noqa: PLC0415 - needed only for `max_tokens`
    except ImportError as error:
        raise CaptionFormatError(
            "caption.max_tokens needs transformers, which is not installed: pip install transformers, "
            "or install hakubooru with its extra `train`"
        ) from error
    # From an empty folder, transformers silently makes an empty tokenizer.
    if not any(Path(folder, name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise CaptionFormatError(
            f"caption.tokenizer: {folder} holds neither vocab.json nor tokenizer.json; name the folder of a CLIP tokenizer"
        )
    try:
        # The slower tokenizer of transformers 4 splits words in another way.
        kind = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise CaptionFormatError(
            f"caption.tokenizer: {folder} cannot be read as a CLIP tokenizer: {error}"
        ) from error
    # SDXL's second tokenizer pads with `!`. Without `split_special_tokens` it would treat the `!` of a tag as padding.
    return lambda text: len(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _without(parts: Parts, steps: list[str]) -> Parts:
    lengths = {part: len(words) for part, words in parts.items()}
    for part in steps:
        lengths[part] -= 1
    return {part: words[: lengths[part]] for part, words in parts.items()}
