"""Read JSON text record by record: lines, an array, or an object, of which only one item is in memory."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from hakubooru.errors import DumpError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_RECORD: Final = 16 * 2**20
"""The length in bytes from which a text is not read as a record; Danbooru's longest records have about 100 KB."""

_CHUNK: Final = 2**20
_AT_ONCE: Final = 2**20
"""The length in bytes up to which an object is read at once: a file of one post, or an answer of an API."""
_LOOKED_AT: Final = 9
"""How many entries of an object are looked at to tell a record from records by key; e621's have seven objects."""
_MOST_KEYS: Final = 10_000
_SPACE: Final = " \t\r\n"
_AFTER_A_NUMBER: Final = (",", "]", "}", *_SPACE)
_ENVELOPES: Final = ("posts", "post", "tags", "tag")
"""The keys under which the APIs of other boorus than Danbooru put the list of what was asked for."""


@dataclass(slots=True)
class Entry:
    """One record of a text, decoded or with the reason why it cannot be."""

    name: str
    """The name of the file."""
    unit: str
    """The kind of entry: "line", "item" (of an array or object), "row" or "file"."""
    number: int
    """The number of the entry, from 1."""
    value: Any = None
    """The decoded value."""
    text: bytes = b""
    """The text of an entry that cannot be decoded."""
    reason: str = ""
    """Why the entry cannot be decoded; empty if it is decoded."""
    size: int = 0
    """The length of the text in bytes."""


def read_json(stream: IO[bytes], name: str, head: bytes, *, at_once: int = _AT_ONCE) -> Iterator[Entry]:
    """Iterate over the records of JSON text: lines, an array, one object, or an object of objects by key.

    The key of an object in an object is added to it as `key`. An object that has the posts under a key (`posts`, `post`)
    stands for them.

    Args:
        stream: the text, in UTF-8.
        name: the name of the file, for messages.
        head: the first bytes of the text, which are not yet read.
        at_once: the length in bytes from which an object is read entry by entry.

    Raises:
        DumpError: an item of an array or object is not JSON, so the start of the next one is not known.
    """
    if head.lstrip().startswith(b"["):
        yield from _decoded_items(name, read_array(stream, name))
    elif _is_a_line(head):
        for entry in _read_lines(stream, name):
            value = entry.value
            # A record of many keys, the first of which is no object, stands for itself: nearly all lines.
            if type(value) is dict and len(value) > 2 and type(next(iter(value.values()))) is not dict:
                yield entry
            else:
                yield from _opened(entry)
    elif len(text := stream.read(at_once)) < at_once:
        # One bad file of a million is one bad record, and does not end a build.
        entry = _decode(name, "file", 1, text)
        yield from [entry] if entry.reason else _opened(entry)
    else:
        yield from _read_object(stream, name, text)


def _is_a_line(head: bytes) -> bool:
    """Whether the first line is JSON by itself, or is broken in a way that no indented object is."""
    line = head.lstrip().split(b"\n", 1)[0].strip()
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        # The first line of an indented object ends where its first value begins, or before.
        return not line.endswith((b"{", b"[", b",", b":")) and b"\n" in head
    return True


def _opened(entry: Entry) -> Iterator[Entry]:
    """The records that a line stands for: itself, the posts of an answer of an API, or the objects of an object."""
    value = entry.value
    if not isinstance(value, dict):
        yield entry
        return
    for key in _ENVELOPES if len(value) <= 2 else ():
        inner = value.get(key)
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            for number, item in enumerate(inner, 1):
                yield Entry(entry.name, "item", number, item)
            return
        if isinstance(inner, dict) and len(value) == 1:
            yield Entry(entry.name, "item", 1, inner)
            return
    if value and set(map(type, value.values())) == {dict}:
        for number, (key, inner) in enumerate(value.items(), 1):
            yield Entry(entry.name, "item", number, {"key": key, **inner})
        return
    yield entry


def _read_lines(stream: IO[bytes], name: str) -> Iterator[Entry]:
    number = 0
    while line := stream.readline(LONGEST_RECORD):
        number += 1
        text = line.strip()
        if len(line) == LONGEST_RECORD:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_RECORD)
            reason = f"the line is longer than {LONGEST_RECORD:,} bytes, so it is not one record"
            yield Entry(name, "line", number, text=text[:1000], reason=reason)
        elif text:
            yield _decode(name, "line", number, text)


def _decode(name: str, unit: str, number: int, text: bytes) -> Entry:
    try:
        return Entry(name, unit, number, orjson.loads(text), size=len(text))
    except orjson.JSONDecodeError as error:
        if b"NaN" in text:  # Python's own library writes it for a missing number
            with suppress(ValueError, RecursionError):
                return Entry(name, unit, number, json.loads(text), size=len(text))
        return Entry(name, unit, number, text=text, reason=f"the {unit} is not JSON in UTF-8: {error.msg}")


def _decoded_items(name: str, items: Iterator[tuple[int, bytes]]) -> Iterator[Entry]:
    for number, text in items:
        yield _decode(name, "item", number, text)


def _read_object(stream: IO[bytes], name: str, begun: bytes) -> Iterator[Entry]:
    """Read a large object, of which some bytes are read already: records by key, a record, or those of an envelope."""
    entries = _entries(stream, name, begun)
    first = list(islice(entries, _LOOKED_AT))
    if all(isinstance(entry.value, dict) for _, entry in first) and first and first[0][0] not in _ENVELOPES:
        for key, entry in chain(first, entries):
            if isinstance(entry.value, dict):
                yield Entry(name, "item", entry.number, {"key": key, **entry.value})
            else:
                yield entry
        return
    values: dict[str, Any] = {}
    for key, entry in chain(first, entries):
        if entry.reason or len(values) > _MOST_KEYS:
            reason = entry.reason or f"the object has more than {_MOST_KEYS:,} keys, so it is not one record"
            yield Entry(name, "file", 1, text=entry.text, reason=reason)
            return
        values[key] = entry.value
    yield from _opened(Entry(name, "file", 1, values))


def read_array(stream: IO[bytes], name: str, *, chunk: int = _CHUNK) -> Iterator[tuple[int, bytes]]:
    """Iterate over the items of a JSON array: the number of each, from 1, and its text.

    Args:
        stream: a stream at the opening bracket, or at white space before it.
        name: the file, for messages.
        chunk: how many bytes to read at a time.

    Raises:
        DumpError: an item is not JSON, so the start of the next one is not known; or the array does not end.
    """
    window, number = _Window(stream, chunk), 0
    with _damage_explained(name) as count:
        window.step_over("[")
        while number or window.next_character() != "]":
            item = window.take_item()
            number += 1
            count["items"] = number
            yield number, item
            if window.next_character() == "]":
                return
            window.step_over(",")


def _entries(stream: IO[bytes], name: str, begun: bytes) -> Iterator[tuple[str, Entry]]:
    """Iterate over the entries of a JSON object: the key of each, and its value."""
    number = 0
    with _damage_explained(name) as count:
        window = _Window(stream, _CHUNK, begun)
        window.step_over("{")
        while number or window.next_character() != "}":
            key = json.loads(window.take_item())
            if not isinstance(key, str):
                raise ValueError(f"{key!r} stands in place of a key")  # noqa: TRY004 - one kind of damage
            window.step_over(":")
            value = window.take_item()
            number += 1
            count["items"] = number
            yield key, _decode(name, "item", number, value)
            if window.next_character() == "}":
                return
            window.step_over(",")


@contextmanager
def _damage_explained(name: str) -> Iterator[Counter[str]]:
    """Turn errors of parsing into a `DumpError` that says after which item the text cannot be read."""
    count: Counter[str] = Counter()
    try:
        yield count
    except (ValueError, RecursionError) as error:
        raise DumpError(
            f"{name} cannot be read after item {count['items']:,}: {error}; correct it there, or download it again"
        ) from error


class _Window:
    """The part of a stream's text that is in memory."""

    def __init__(self, stream: IO[bytes], chunk: int, begun: bytes = b"") -> None:
        self._stream = stream
        self._chunk = chunk
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._scan = json.JSONDecoder().raw_decode
        self._text = self._decoder.decode(begun)
        self._at = 0
        self._ended = False

    def next_character(self) -> str:
        """Return the next character that is not white space, without stepping over it."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            self._read_on("the text ends too early")

    def step_over(self, character: str) -> None:
        """Step over a character that must come next."""
        if self.next_character() != character:
            raise ValueError(f"{self._text[self._at : self._at + 20]!r} stands in place of {character!r}")
        self._at += 1

    def take_item(self) -> bytes:
        """Return the text of the value that comes next, in UTF-8, and step over it."""
        self.next_character()
        while True:
            try:
                _, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                self._read_on(f"the next one is not JSON ({error.msg}), or is cut off")
                continue
            is_number = self._text[end - 1].isdigit()
            if is_number and self._text[end : end + 1] not in _AFTER_A_NUMBER:
                self._read_on("the text ends too early")  # -5. in memory may continue as -5.25
                continue
            item, self._at = self._text[self._at : end], end
            return item.encode("utf-8", "surrogatepass")

    def _read_on(self, failure: str) -> None:
        if self._ended or len(self._text) - self._at > LONGEST_RECORD:
            raise ValueError(failure)
        chunk = self._stream.read(self._chunk)
        self._ended = not chunk
        self._text, self._at = self._text[self._at :] + self._decoder.decode(chunk, self._ended), 0
