"""Shortening a caption to a number of tags or CLIP tokens; whole tags are removed."""

from __future__ import annotations

import bisect
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.caption.format import LABEL_PARTS
from hakubooru.caption.text import join_parts
from hakubooru.errors import CaptionFormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakubooru.caption.format import CaptionFormat
    from hakubooru.caption.text import Parts


def limiter(format: CaptionFormat) -> Callable[[Parts], Parts] | None:
    """Return a function that removes tags from parts until a format's limits hold; None for a format without limits.

    Raises:
        CaptionFormatError: the format counts tokens, but transformers or the tokenizer's folder is missing.
    """
    if format.max_tags is None and format.max_tokens is None:
        return None
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
    steps = [part for part in format.trim if part in parts for _ in parts[part]]
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
            "`max_tokens` needs transformers, which is not installed: pip install transformers, "
            "or install hakubooru with its extra `train`"
        ) from error
    # From an empty folder, transformers silently makes an empty tokenizer.
    if not any(Path(folder, name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise CaptionFormatError(
            f"`tokenizer`: {folder} holds neither vocab.json nor tokenizer.json; name the folder of a CLIP tokenizer"
        )
    try:
        # The slower tokenizer of transformers 4 splits words in another way.
        kind = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise CaptionFormatError(
            f"`tokenizer`: {folder} cannot be read as a CLIP tokenizer: {error}"
        ) from error
    # SDXL's second tokenizer pads with `!`. Without `split_special_tokens` it would treat the `!` of a tag as padding.
    return lambda text: len(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _without(parts: Parts, steps: list[str]) -> Parts:
    lengths = {part: len(words) for part, words in parts.items()}
    for part in steps:
        lengths[part] -= 1
    return {part: words[: lengths[part]] for part, words in parts.items()}
