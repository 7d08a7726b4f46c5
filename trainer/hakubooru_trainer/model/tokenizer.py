"""CLIP's tokenizers for both text encoders, from a folder or from this package.

The two have one vocabulary and differ in their padding: the first pads with its end mark, the second with token 0, which is
also the byte `!`. SDXL's own folders say so by `"pad_token": "!"`, and transformers then cuts such tokens out of a text:
every `!` would become 0 and not 256. So all of a caption is plain text here, also words such as `<|endoftext|>`.
"""

from __future__ import annotations

import gzip
import itertools
from typing import TYPE_CHECKING, Any, Final

import transformers
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from hakubooru.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENCODERS: Final = {"tokenizer": "text_encoder", "tokenizer_2": "text_encoder_2"}
"""The folder of the encoder that each tokenizer belongs to."""
START, END = "<|startoftext|>", "<|endoftext|>"
"""The marks at the beginning and the end of a prompt: the last two tokens of the vocabulary."""
_WORDS: Final = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""The pattern of a word in CLIP's sense: merges stay within one word."""


def read_tokenizer(folder: Path, name: str) -> Any:
    """Read the tokenizer in a folder that has a vocab.json with a merges.txt, or a tokenizer.json.

    Raises:
        ModelError: the files cannot be read.
    """
    try:
        # transformers 4 has a slower class too, which splits words in another way.
        kind = getattr(transformers, "CLIPTokenizerFast", transformers.CLIPTokenizer)
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{folder} cannot be read as a CLIP tokenizer ({error}); name the folder of an SDXL's tokenizer"
        ) from error
    return _padded(tokenizer, name)


def shipped_tokenizer(folder: Path, name: str) -> Any:
    """Build the tokenizer of CLIP's own vocabulary.

    Args:
        folder: the folder with CLIP's merges, in the order of their ranks.
        name: `tokenizer` or `tokenizer_2`.
    """
    with gzip.open(folder / "merges.txt.gz", "rt", encoding="utf-8", newline="\n") as lines:
        merges = [(first, second) for first, second in (line.split() for line in lines)]
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary(merges),
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=END,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    start, end = len(merges) + 512, len(merges) + 513
    tokenizer.post_processor = processors.RobertaProcessing(
        (END, end), (START, start), trim_offsets=False, add_prefix_space=False
    )
    marks = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=77, **marks)
    return _padded(fast, name)


def vocabulary(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """CLIP's numbers of tokens: the 256 bytes, the bytes at the end of a word, the merges, and the marks."""
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _padded(tokenizer: Any, name: str) -> Any:
    """A tokenizer that pads as its encoder was trained, whatever its folder says, and takes all of a text as text."""
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0) if name == "tokenizer_2" else tokenizer.eos_token
    tokenizer.split_special_tokens = True
    return tokenizer


def _byte_letters() -> list[str]:
    """The letters that CLIP's byte-level BPE writes for the 256 bytes, `!` first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = itertools.count(0x100)
    return [*map(chr, printable), *(chr(next(others)) for _ in range(256 - len(printable)))]
