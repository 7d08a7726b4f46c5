"""Read dumps: JSON lines or a JSON array, plain, gzipped or in a tar, and Parquet.

The format is recognised by the first bytes of a file, not by its name. Only one record at a time is in memory.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from hakubooru.errors import DumpError
from hakubooru.ingest.json_array import read_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LONGEST_RECORD: Final = 16 * 2**20
"""The length in bytes from which a line is not read as a record; Danbooru's longest records have about 100 KB."""

_GZIP, _PARQUET, _SQLITE, _BOM = b"\x1f\x8b", b"PAR1", b"SQLite format 3\0", b"\xef\xbb\xbf"
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_OTHER_PACKING = (b"PK\x03\x04", b"(\xb5/\xfd", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")
_ROWS_A_READ: Final = 2000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, item or row of a dump, decoded or with the reason why it cannot be."""

    unit: str
    """The kind of entry: "line", "item" (of a JSON array) or "row"."""
    number: int
    """The number of the entry, from 1."""
    value: Any = None
    """The decoded value."""
    text: bytes = b""
    """The text of an entry that cannot be decoded."""
    reason: str = ""
    """Why the entry cannot be decoded; empty if it is decoded."""


class Dump:
    """An open dump, which you iterate over for its entries.

    Iteration raises `DumpError` if the dump is cut off or damaged.
    """

    def __init__(self, path: Path, raw: IO[bytes], columns: Sequence[str]) -> None:
        self.path = path
        self._raw = raw
        self._columns = columns
        self._size = path.stat().st_size
        self._decoded = 0  # bytes of a Parquet file, which is not read from start to end

    def bytes_read(self) -> int:
        """How many bytes of the file have been read."""
        # Readers close a file at its end.
        return self._size if self._raw.closed else self._decoded or self._raw.tell()

    def __iter__(self) -> Iterator[Entry]:
        try:
            yield from self._read(self._raw)
        except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
            raise DumpError(
                f"{self.path} is cut off or damaged ({error}); download or copy it again"
            ) from error

    def _read(self, raw: Any) -> Iterator[Entry]:
        with io.BufferedReader(raw, 2**20) as stream:
            head = stream.peek(512)[:512]
            if head.startswith(_GZIP):
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    yield from self._read(unpacked)
            elif head.startswith(_PARQUET):
                yield from self._read_parquet()
            elif head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
                yield from self._read_tar(stream)
            else:
                yield from self._read_json(stream, head)

    def _read_json(self, stream: IO[bytes], head: bytes) -> Iterator[Entry]:
        if head.startswith(_BOM):
            stream.read(len(_BOM))
        first = head.removeprefix(_BOM).lstrip()[:1]
        if first == b"[":
            for number, text in read_array(stream, self.path):
                yield _decode("item", number, text)
        elif first == b"{":
            yield from _read_lines(stream)
        else:
            raise DumpError(f"{self.path} is not a dump: {_what_it_is(head)}")

    def _read_tar(self, stream: IO[bytes]) -> Iterator[Entry]:
        is_empty = True
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                base = member.name.rsplit("/", 1)[-1]
                # macOS writes a ._ file beside every file.
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and not base.startswith("._"):
                    is_empty = False
                    yield from self._read(content)
        if is_empty:
            raise DumpError(f"{self.path} is an archive without files: name one with a dump in it")

    def _read_parquet(self) -> Iterator[Entry]:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and only this layout needs it
        from pyarrow import parquet  # noqa: PLC0415

        try:
            file = parquet.ParquetFile(self.path)
            names = set(file.schema_arrow.names)
            columns = [column for column in self._columns if column in names]
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS_A_READ, columns=columns):
                for value in batch.to_pylist():
                    number += 1
                    yield Entry("row", number, value)
                self._decoded = self._size * number // file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DumpError(
                f"{self.path} is a damaged Parquet file ({' '.join(str(error).split())}); download or copy it again"
            ) from error


@contextmanager
def open_dump(path: Path, columns: Sequence[str] = ()) -> Iterator[Dump]:
    """Open a dump for a `with` statement.

    Args:
        path: JSON lines or a JSON array, plain, gzipped or in a tar; or Parquet.
        columns: the keys to read; of a Parquet file, only these columns are read.

    Raises:
        DumpError: the file does not exist or cannot be read.
    """
    if path.is_dir():
        raise DumpError(f"{path} is a folder; name the dump in it")
    try:
        raw = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise DumpError(f"{path} does not exist; name a dump of posts") from error
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error
    with raw:
        yield Dump(path, raw, columns)


def _read_lines(stream: IO[bytes]) -> Iterator[Entry]:
    number = 0
    while line := stream.readline(LONGEST_RECORD):
        number += 1
        text = line.strip()
        if len(line) == LONGEST_RECORD:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_RECORD)
            reason = f"the line is longer than {LONGEST_RECORD:,} bytes, so it is not one record"
            yield Entry("line", number, text=text[:1000], reason=reason)
        elif text:
            yield _decode("line", number, text)


def _decode(unit: str, number: int, text: bytes) -> Entry:
    try:
        return Entry(unit, number, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        return Entry(unit, number, text=text, reason=f"the {unit} is not JSON in UTF-8: {error.msg}")


def _what_it_is(head: bytes) -> str:
    if not head.strip():
        return "it is empty; download it again"
    if head.startswith(_SQLITE):
        return "it is a database already; open it as it is"
    if head.startswith(_OTHER_PACKING):
        return "it is packed in a format that hakubooru cannot read; unpack it, or pack it with gzip"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16; convert it to UTF-8"
    if head.lstrip().startswith(b"<"):
        return "it looks like XML or HTML; get the posts as JSON"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    return "name a file of posts as JSON lines or a JSON array (plain, gzipped or in a tar), or as Parquet"
