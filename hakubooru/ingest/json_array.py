"""Read a JSON array item by item, for arrays that do not fit into memory."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Final

from hakubooru.errors import DumpError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_CHUNK: Final = 2**20
_LONGEST_ITEM: Final = 16 * 2**20
_SPACE: Final = " \t\r\n"
_AFTER_A_NUMBER: Final = (",", "]", *_SPACE)


def read_array(stream: IO[bytes], path: Path, *, chunk: int = _CHUNK) -> Iterator[tuple[int, bytes]]:
    """Iterate over the items of a JSON array: the number of each, from 1, and its text.

    Args:
        stream: a stream at the opening bracket, or at white space before it.
        path: the file, for messages.
        chunk: bytes that are read at a time.

    Raises:
        DumpError: an item is not JSON, so the start of the next one is not known; or the array does not end.
    """
    window, number = _Window(stream, chunk), 0
    try:
        window.step_over("[")
        while number or window.next_character() != "]":
            item = window.take_item()
            number += 1
            yield number, item.encode("utf-8", "surrogatepass")
            if window.next_character() == "]":
                return
            window.step_over(",")
    except (ValueError, RecursionError) as error:
        raise DumpError(
            f"{path} cannot be read after item {number:,}: {error}; correct it there, or download it again"
        ) from error


class _Window:
    """The part of a stream's text that is in memory."""

    def __init__(self, stream: IO[bytes], chunk: int) -> None:
        self._stream = stream
        self._chunk = chunk
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def next_character(self) -> str:
        """Return the next character that is not white space, without stepping over it."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            self._read_on("the array does not end")

    def step_over(self, character: str) -> None:
        if self.next_character() != character:
            raise ValueError(f"{self._text[self._at : self._at + 20]!r} stands in place of {character!r}")
        self._at += 1

    def take_item(self) -> str:
        self.next_character()
        while True:
            try:
                _, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                self._read_on(f"the next one is not JSON ({error.msg}), or is cut off")
                continue
            is_number = self._text[end - 1].isdigit()
            if is_number and self._text[end : end + 1] not in _AFTER_A_NUMBER:
                self._read_on("the array does not end")  # -5. in memory may continue as -5.25
                continue
            item, self._at = self._text[self._at : end], end
            return item

    def _read_on(self, failure: str) -> None:
        if self._ended or len(self._text) - self._at > _LONGEST_ITEM:
            raise ValueError(failure)
        chunk = self._stream.read(self._chunk)
        self._ended = not chunk
        self._text, self._at = self._text[self._at :] + self._decoder.decode(chunk, self._ended), 0
