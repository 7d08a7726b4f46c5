"""Unpack compressed streams and archives, nested in any way, with a bound on what comes out.

A compression is recognised by its first bytes. Brotli has no such mark, and is recognised by the ending `.br`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from hakubooru.errors import DumpError
from hakubooru.ingest.extras import library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAST_BOUND: Final = 2**30
"""How many bytes any source may unpack to."""
LARGEST_RATIO: Final = 100
"""How many times its own size a larger source may unpack to; JSON of posts packs to a tenth or a fifteenth."""
DEEPEST: Final = 5
"""How many compressions and archives may stand inside one another."""
HEAD: Final = 2**16
"""How many bytes of a file are looked at to recognise it."""

_BUFFER: Final = 2**20
_WINDOW_LOG: Final = 27  # 128 MiB, what zstd's own command unpacks without being asked
_XZ_MEMORY: Final = 2**28
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_DAMAGE: Final = (
    EOFError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    gzip.BadGzipFile,
    NotImplementedError,  # a zip with a method of its own, or with a password
)


@dataclass
class Leaf:
    """A file that is neither compressed nor an archive, open for reading."""

    name: str
    """The path of the file, with the names of archive members after it."""
    stream: io.BufferedReader
    """The content, from the first byte."""
    path: Path | None
    """The file on the disk; None if it is a part of another."""
    packing: tuple[str, ...] = ()
    """The compressions and archives around it, the outermost first."""

    @cached_property
    def head(self) -> bytes:
        """The first bytes, at most `HEAD`; to be asked for before the content is read."""
        return self.stream.peek(HEAD)[:HEAD]

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give the path of a file with the content, for formats that are not read from start to end."""
        if self.path is not None:
            yield self.path
            return
        with tempfile.NamedTemporaryFile(prefix="hakubooru-") as file:
            shutil.copyfileobj(self.stream, file, _BUFFER)
            file.flush()
            yield Path(file.name)


class Budget:
    """A count of the bytes that a source has been unpacked to, and their bound."""

    def __init__(self, path: Path, size: int, least: int) -> None:
        """Begin to count.

        Args:
            path: the path of the source.
            size: the size of the source in bytes.
            least: how many bytes any source may unpack to.
        """
        self._path = path
        self._bound = max(least, LARGEST_RATIO * size)
        self._rest = self._bound

    def spend(self, count: int) -> None:
        """Count unpacked bytes.

        Raises:
            DumpError: the source has more than a dump can have.
        """
        self._rest -= count
        if self._rest < 0:
            raise DumpError(
                f"{self._path} unpacks to more than {self._bound:,} bytes, {LARGEST_RATIO} times what a dump may: if you "
                "trust it, unpack it yourself and name the result"
            )


class Readable(io.RawIOBase):
    """A raw stream over a function that returns about so many bytes, and none at the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._rest = b""

    def readable(self) -> bool:
        """Whether the stream can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return the number of bytes."""
        data = self._rest or self._read(len(buffer))
        count = min(len(data), len(buffer))
        buffer[:count], self._rest = data[:count], data[count:]
        return count


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged compression into a `DumpError` that names the file."""
    try:
        yield
    except _DAMAGE as error:
        raise DumpError(f"{path} is cut off or damaged ({error}); download or copy it again") from error


def leaves(
    path: Path, stream: io.BufferedReader, size: int, *, least_bound: int = LEAST_BOUND
) -> Iterator[Leaf]:
    """Iterate over the files in a file: itself, what its compression holds, or the members of its archive.

    Each must be read before the next one is asked for.

    Args:
        path: the path of the file.
        stream: its content, from the first byte.
        size: its size in bytes.
        least_bound: how many bytes it may unpack to in any case; a large file may unpack to 100 times its size.

    Raises:
        DumpError: the file unpacks to too much, or needs a library that is not installed.
    """
    yield from _unpacked(Leaf(str(path), stream, path), Budget(path, size, least_bound), path)


def _unpacked(leaf: Leaf, budget: Budget, path: Path) -> Iterator[Leaf]:
    name = _packing_of(leaf)
    if not name:
        yield leaf
        return
    if len(leaf.packing) == DEEPEST:
        raise DumpError(f"{path} is packed more than {DEEPEST} times: unpack it, and name what is inside")
    packing = (*leaf.packing, name)
    if name in _ARCHIVES:
        members = _ARCHIVES[name](leaf, budget)
    else:
        stream = _STREAMS[name](leaf)
        members = iter([(leaf.name, stream)])
    for member, content in members:
        # A tar is as large as its members, and a 7z declares how large they are: they are counted already.
        is_counted = name in ("tar", "7z")
        raw: Any = content  # of a small member, the bytes
        if not isinstance(content, io.BytesIO):
            raw = Readable(content.read if is_counted else _counted(content, budget))
        size = HEAD if raw is content else _BUFFER
        inner = Leaf(member, io.BufferedReader(raw, size), None, packing)
        if name == "tar" and len(leaf.packing) == 0 and not inner.head:
            continue  # an empty member
        yield from _unpacked(inner, budget, path)


def _packing_of(leaf: Leaf) -> str:
    """The compression or the archive that a file is; empty for any other file."""
    if leaf.head.startswith(_TAR_MAGIC, _TAR_MAGIC_AT):
        return "tar"
    if leaf.head.startswith(_ALL_MARKS):
        return next(name for name, marks in _MARKS.items() if leaf.head.startswith(marks))
    return "brotli" if leaf.name.endswith(".br") and "brotli" not in leaf.packing else ""


def _counted(stream: IO[bytes], budget: Budget) -> Callable[[int], bytes]:
    def read(count: int) -> bytes:
        data = stream.read(count)
        budget.spend(len(data))
        return data

    return read


def _xz(leaf: Leaf) -> IO[bytes]:
    return _decompressed(leaf.stream, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY))


def _zstd(leaf: Leaf) -> IO[bytes]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - Python 3.14
    except ImportError:
        zstd = library("backports.zstd", leaf.name, "packed with zstd")
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return _decompressed(leaf.stream, lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError)


def _brotli(leaf: Leaf) -> IO[bytes]:
    brotli = library("brotli", leaf.name, "packed with brotli")

    class Decompressor:
        """Brotli's decompressor with the interface of the others."""

        def __init__(self) -> None:
            self._inner = brotli.Decompressor()
            self.unused_data = b""
            self.needs_input = True

        @property
        def eof(self) -> bool:
            return bool(self._inner.is_finished())

        def decompress(self, data: bytes, max_length: int) -> bytes:
            output: bytes = self._inner.process(data, output_buffer_limit=max_length)
            # The library's own `can_accept_more_data` is true while it still has output.
            self.needs_input = not output
            return output

    return _decompressed(leaf.stream, Decompressor, brotli.error)


def _decompressed(stream: IO[bytes], start: Callable[[], Any], *errors: type[Exception]) -> IO[bytes]:
    """Read a stream through decompressors of `bz2`'s interface, one for each of the parts that follow one another."""
    decompressor = start()
    rest = b""

    def read(count: int) -> bytes:
        nonlocal decompressor, rest
        while True:
            if decompressor.eof:
                rest = decompressor.unused_data or stream.read(_BUFFER)
                if not rest.strip(b"\0"):  # xz pads with zeros
                    return b""
                decompressor = start()
            elif decompressor.needs_input:
                rest = stream.read(_BUFFER)
                if not rest:
                    raise EOFError("it ends before its end mark")
            try:
                data, rest = decompressor.decompress(rest, count), b""
            except errors as error:
                raise zlib.error(str(error)) from error
            if data:
                return cast("bytes", data)

    return cast("IO[bytes]", io.BufferedReader(Readable(read), _BUFFER))


def _tar(leaf: Leaf, budget: Budget) -> Iterator[tuple[str, IO[bytes]]]:  # noqa: ARG001 - one signature for all
    with tarfile.open(fileobj=leaf.stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                # Of a million small members, each is read at once.
                is_small = member.size <= HEAD
                yield f"{leaf.name}/{member.name}", io.BytesIO(content.read()) if is_small else content
            archive.members = []  # type: ignore[attr-defined] # a tar of a million files would keep a record of each


def _zip(leaf: Leaf, budget: Budget) -> Iterator[tuple[str, IO[bytes]]]:  # noqa: ARG001 - one signature for all
    with leaf.on_disk() as path, zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                try:
                    content = archive.open(member)
                except RuntimeError as error:
                    raise zipfile.BadZipFile(str(error)) from error
                with content:
                    yield f"{leaf.name}/{member.filename}", content


def _seven_zip(leaf: Leaf, budget: Budget) -> Iterator[tuple[str, IO[bytes]]]:
    py7zr = library("py7zr", leaf.name, "a 7z archive")
    with ExitStack() as stack:
        path = stack.enter_context(leaf.on_disk())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hakubooru-")))
        try:
            with py7zr.SevenZipFile(path) as archive:
                members = [member for member in archive.list() if not member.is_directory]
                # The library unpacks no more than the archive declares.
                budget.spend(sum(member.uncompressed for member in members))
                files = _NumberedFiles(folder)
                archive.extractall(factory=files)  # noqa: S202 - no member is a path there
        except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired, ValueError) as error:
            raise zlib.error(str(error)) from error
        for name, file in files.paths.items():
            with file.open("rb") as content:
                yield f"{leaf.name}/{name}", content


class _NumberedFiles:
    """Where py7zr writes members: numbered files in a folder, because the name of a member is data, not a path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.paths: dict[str, Path] = {}

    def create(self, filename: str) -> _NumberedFile:
        """Open the file of a member."""
        path = self.paths[filename] = self._folder / str(len(self.paths))
        return _NumberedFile(path)


class _NumberedFile(io.FileIO):
    """A file with the one method more that py7zr asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")

    def size(self) -> int:
        """The length of the file in bytes."""
        return os.fstat(self.fileno()).st_size


_MARKS: Final[dict[str, tuple[bytes, ...]]] = {
    "gzip": (b"\x1f\x8b",),
    "xz": (b"\xfd7zXZ\0",),
    "bz2": (b"BZh",),
    "zstd": (b"(\xb5/\xfd",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "7z": (b"7z\xbc\xaf\x27\x1c",),
}
_ALL_MARKS: Final = tuple(mark for marks in _MARKS.values() for mark in marks)
_STREAMS: Final[dict[str, Callable[[Leaf], Any]]] = {
    "gzip": lambda leaf: gzip.GzipFile(fileobj=leaf.stream),
    "bz2": lambda leaf: _decompressed(leaf.stream, bz2.BZ2Decompressor, OSError),
    "xz": _xz,
    "zstd": _zstd,
    "brotli": _brotli,
}
_ARCHIVES: Final[dict[str, Callable[[Leaf, Budget], Iterator[tuple[str, IO[bytes]]]]]] = {
    "tar": _tar,
    "zip": _zip,
    "7z": _seven_zip,
}
