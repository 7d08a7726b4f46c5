"""Read a list of tags: Danbooru's tag objects, or a CSV of names and types."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, cast

from hakubooru.errors import DumpError
from hakubooru.ingest.dumps import open_dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakubooru.ingest.dumps import Entry

TYPE_OF_CATEGORY: Final = {0: 0, 1: 1, 3: 3, 4: 2, 5: 4}
"""The number `tag.type` of the file for each of Danbooru's categories (general, artist, copyright, character, meta)."""


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag of a list of tags."""

    name: str
    type: int
    """The number of its type in the file."""
    id: int | None = None
    """Danbooru's id of the tag; None if the list has no ids."""
    aliases: tuple[str, ...] = ()
    """Other names of the tag."""


def read_known_tags(path: Path) -> Iterator[KnownTag]:
    """Iterate over the tags of a list of tags.

    Args:
        path: Danbooru's tag objects (JSON lines or a JSON array), or a CSV of name, category, count and aliases
            (count, aliases and the line of headings may be missing); plain or gzipped.

    Raises:
        DumpError: the file is neither of the two, or one of its tags is not valid.
    """
    if _looks_like_json(path):
        yield from _read_objects(path)
    else:
        yield from _read_csv(path)


def _looks_like_json(path: Path) -> bool:
    with open_dump(path):  # raises for a path that cannot be opened
        pass
    with _open_bytes(path) as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    # For a tar, a Parquet or an empty file, the reader of dumps has the better messages.
    return head.startswith((b"{", b"[", b"PAR1")) or b"\0" in head or not head


@contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        if file.peek(2).startswith(b"\x1f\x8b"):
            with gzip.open(file) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield file


def _read_objects(path: Path) -> Iterator[KnownTag]:
    with open_dump(path, ["id", "name", "category"]) as dump:
        for entry in dump:
            try:
                yield _tag_of_object(entry)
            except ValueError as error:
                raise _refusal(path, entry.unit, entry.number, error) from error


def _tag_of_object(entry: Entry) -> KnownTag:
    if entry.reason:
        raise ValueError(entry.reason)
    value = entry.value if isinstance(entry.value, dict) else {}
    number, name = value.get("id"), value.get("name")
    if type(number) is not int or not 0 < number < 2**31 or not isinstance(name, str):
        raise ValueError("a tag must be an object with id (a positive whole number), name and category")
    return KnownTag(_checked(name), _type(value.get("category")), number)


def _read_csv(path: Path) -> Iterator[KnownTag]:
    with _open_bytes(path) as file:
        reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
        try:
            for row in reader:
                is_heading = reader.line_num == 1 and row[:2] == ["name", "category"]
                if row and not is_heading:
                    yield _tag_of_row(row)
        except (ValueError, csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _refusal(path, "line", max(1, reader.line_num), error) from error


def _tag_of_row(row: Sequence[str]) -> KnownTag:
    if len(row) < 2:
        raise ValueError("a line must have a name and a category, separated by a comma")
    return KnownTag(_checked(row[0]), _type(row[1]), aliases=_aliases(row))


def _aliases(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, (alias.strip() for alias in row[3].split(",")))) if len(row) > 3 else ()


def _checked(name: str) -> str:
    if not name or " " in name:
        raise ValueError(f"{name[:100]!r} is not a tag name: it must not be empty or have spaces")
    return name


def _type(category: object) -> int:
    text = str(category)
    if text.isascii() and text.isdecimal() and int(text) in TYPE_OF_CATEGORY:
        return TYPE_OF_CATEGORY[int(text)]
    raise ValueError(
        f"category {category!r} is not one of Danbooru's: 0 general, 1 artist, 3 copyright, 4 character, 5 meta"
    )


def _refusal(path: Path, unit: str, number: int, error: Exception) -> DumpError:
    return DumpError(f"{path}, {unit} {number:,}: {error}; correct it, or leave it out")
