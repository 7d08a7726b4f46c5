"""What is known of tags before a dump is read: Danbooru's tag objects, or a table of names and types."""

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

    from hakubooru.ingest.dumps import Found

TYPE_OF_CATEGORY: Final = {0: 0, 1: 1, 3: 3, 4: 2, 5: 4}
"""`tag.type` by Danbooru's category: general, artist, copyright, character, meta."""


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag as a list of tags has it."""

    name: str
    type: int
    """The number in the file."""
    id: int | None = None
    """Danbooru's own, where the list has it."""
    aliases: tuple[str, ...] = ()


def read_known_tags(path: Path) -> Iterator[KnownTag]:
    """Read a list of tags.

    Args:
        path: Danbooru's tag objects (JSON lines or a JSON array), or a CSV of name, category, count and aliases
            (the last two may be missing, and so may a line of headings); plain or gzipped.

    Raises:
        DumpError: it is neither, or one of its tags is not one.
    """
    if _looks_like_json(path):
        yield from _read_objects(path)
    else:
        yield from _read_csv(path)


def _looks_like_json(path: Path) -> bool:
    with open_dump(path):  # says what is wrong with the path
        pass
    with _open_bytes(path) as file:
        head = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    # A tar or a Parquet file is no CSV: the reader of dumps knows what to say of it.
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
        for found in dump:
            try:
                yield _tag_of_object(found)
            except ValueError as error:
                raise _refusal(path, found.unit, found.number, error) from error


def _tag_of_object(found: Found) -> KnownTag:
    if found.reason:
        raise ValueError(found.reason)
    value = found.value if isinstance(found.value, dict) else {}
    number, name = value.get("id"), value.get("name")
    if type(number) is not int or not 0 < number < 2**31 or not isinstance(name, str):
        raise ValueError("an object with an id (a positive whole number), a name and a category is needed")
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
        raise ValueError("a name and a category, separated by a comma, are needed")
    return KnownTag(_checked(row[0]), _type(row[1]), aliases=_aliases(row))


def _aliases(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, (alias.strip() for alias in row[3].split(",")))) if len(row) > 3 else ()


def _checked(name: str) -> str:
    if not name or " " in name:
        raise ValueError(f"{name[:100]!r} is no tag: names have no spaces, and at least one character")
    return name


def _type(category: object) -> int:
    text = str(category)
    if text.isascii() and text.isdecimal() and int(text) in TYPE_OF_CATEGORY:
        return TYPE_OF_CATEGORY[int(text)]
    raise ValueError(
        f"category {category!r} is none of Danbooru's: 0 general, 1 artist, 3 copyright, 4 character, 5 meta"
    )


def _refusal(path: Path, unit: str, number: int, error: Exception) -> DumpError:
    return DumpError(f"{path}, {unit} {number:,}: {error}; correct it, or leave it out")
