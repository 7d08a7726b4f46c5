"""Reading tar archives at the speed of the disk.

Python's `tarfile` builds an object for every member; walking the 512-byte headers is about ten times faster.
Names in an archive are data: they are given as they stand, and nothing here makes a path of one.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hakubooru.image.names import StrangeNameError, post_id

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    Wanted = Callable[["Member"], bool]

BLOCK: Final = 512
"""Bytes of a header; contents are padded to a multiple of it (POSIX 1003.1, pax, ustar interchange format)."""

_LONGEST_EXTENSION: Final = 2**20
"""Bytes of a long name or a set of pax records; a member that claims more of them is damaged."""

_BUFFER: Final = 2**20
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_END: Final = bytes(BLOCK)

_WITHOUT_CONTENTS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
}
_EXTENSIONS: Final = (b"L", b"K", b"x", b"g")


class DamagedTarError(Exception):
    """An archive that cannot be read further; the message says why and where."""


@dataclass(slots=True)
class Member:
    """An entry of an archive: a file, unless `kind` says otherwise."""

    name: str
    size: int
    """Bytes of the contents, as declared."""
    offset: int
    """Where the contents start; in a compressed archive, in the uncompressed stream."""
    kind: str = "a file"
    """`a file`, `a folder`, `a symbolic link`, …"""


def image_of(member: Member) -> int | None:
    """The post whose image a member is, by its name and kind; None for what lies beside images by custom.

    Raises:
        StrangeNameError: it is something that no image is taken from; the message says what.
    """
    try:
        number = post_id(member.name.rstrip("/"))
    except StrangeNameError as error:
        # Folders in an archive are nothing strange, as long as they do not lead anywhere.
        if member.kind == "a folder" and "path" not in str(error):
            return None
        raise
    if number is not None and member.kind != "a file":
        raise StrangeNameError(member.kind)
    return number


def read_tar(path: str, wanted: Wanted, start: int = 0) -> Iterator[tuple[Member, bytes]]:
    """Walk an archive once, from its start to its end, and read the members that are wanted, one at a time.

    Args:
        path: the archive; gzip, bzip2 and xz are recognised by their bytes.
        wanted: is asked about every member, in order; only those that it takes are read.
        start: where a member begins, in an archive that is not compressed.

    Yields:
        the wanted members with their contents.

    Raises:
        DamagedTarError: the archive ends in the middle, or has something else in the place of a header.
            Everything before that was given.
    """
    if is_compressed(path):
        yield from _read_compressed(path, wanted)
        return
    with Path(path).open("rb", buffering=0) as file:
        yield from _walk(file, start, file.seek(0, 2), wanted)


def is_compressed(path: str) -> bool:
    """Whether an archive is packed, so that offsets in it are none of the file's."""
    with Path(path).open("rb", buffering=0) as file:
        return file.read(8).startswith(_COMPRESSED)


def _walk(file: io.FileIO, start: int, end: int, wanted: Wanted) -> Iterator[tuple[Member, bytes]]:
    at = file.seek(start)  # where the header in hand stood
    header = file.read(BLOCK)
    buffer = bytearray(_BUFFER)
    records: dict[str, str] = {}  # what extension headers say of the member that follows
    while header != _END:
        member = parse_header(header, at, end)
        kind = header[156:157]
        if kind in _EXTENSIONS:
            records |= _read_extension(file, member, kind, end)
        else:
            _apply(records, member)
            records = {}
        if member.offset + member.size > end:
            raise DamagedTarError(f"cut short within {member.name!r}")
        at = member.offset + member.size + -member.size % BLOCK
        if kind not in _EXTENSIONS and wanted(member):
            # The padding and the next header come with the same call to the system.
            needed = at - member.offset + BLOCK
            if needed > len(buffer):
                buffer = bytearray(needed)
            read = file.readinto(memoryview(buffer)[:needed])
            if read < member.size:  # it was as long when it was opened
                raise DamagedTarError(f"cut short within {member.name!r}")
            yield member, bytes(memoryview(buffer)[: member.size])
            header = bytes(memoryview(buffer)[needed - BLOCK : read])
        else:
            file.seek(at)
            header = file.read(BLOCK)


def parse_header(header: bytes, at: int, end: int) -> Member:
    """The member that a header at `at`, in an archive of `end` bytes, tells of.

    Raises:
        DamagedTarError: it is no header.
    """
    if len(header) < BLOCK:
        raise DamagedTarError(f"ends at byte {end:,} without an end mark")
    # The sum of the header's bytes, its own field counted as eight spaces.
    size = _number(header[124:136])
    total = _sum(header[:148]) + 8 * ord(" ") + _sum(header[156:334]) + _sum(header[334:])
    if size < 0 or total != _number(header[148:156]):
        raise DamagedTarError("is no tar archive" if at == 0 else f"has no header at byte {at:,}")
    name = header[:100].partition(b"\0")[0]
    # GNU's own format keeps times where ustar keeps the first part of a long name.
    if header[257:263] == b"ustar\0" and header[345]:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    kind = header[156:157]
    if kind in _WITHOUT_CONTENTS:
        return Member(_text(name), 0, at + BLOCK, _WITHOUT_CONTENTS[kind])
    if kind == b"S":
        return Member(_text(name), size, at + BLOCK, "a sparse file")
    if name.endswith(b"/") and kind not in _EXTENSIONS:  # how the oldest format writes a folder
        return Member(_text(name), size, at + BLOCK, "a folder")
    return Member(_text(name), size, at + BLOCK)


def file_header(name: str, size: int) -> bytes:
    """The header of a plain file, the same on every machine and at every time.

    Args:
        name: ASCII, at most 100 characters.
        size: of the contents, in bytes; below 8 GiB.
    """
    fields = name.encode("ascii").ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size
    rest = b"0" + bytes(100) + b"ustar\00000"
    before, after = fields + b"00000000000\0", rest.ljust(BLOCK - 156, b"\0")
    checksum = sum(before) + 8 * ord(" ") + sum(after)
    return before + b"%06o\0 " % checksum + after


def _sum(part: bytes) -> int:
    """Of at most 256 bytes; six times as fast as `sum`.

    The lower half of their Adler-32 is one more than their sum, modulo 65,521 (RFC 1950, 8.2).
    """
    return (zlib.adler32(part) & 0xFFFF) - 1


def _number(field: bytes) -> int:
    """Octal digits, or, where the first bit is set, GNU's base 256; -1 for anything else."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return -1


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _read_extension(file: io.FileIO, member: Member, kind: bytes, end: int) -> dict[str, str]:
    """What a GNU long name or a set of pax records says of the next member."""
    if member.size > _LONGEST_EXTENSION or member.offset + member.size > end:
        raise DamagedTarError(f"has a header of {member.size:,} bytes at byte {member.offset:,}")
    file.seek(member.offset)
    text = file.read(member.size)
    if kind == b"L":
        return {"path": _text(text.partition(b"\0")[0])}
    if kind == b"x":
        return _pax_records(text, member.offset)
    return {}  # the target of a link, and records of the whole archive: nothing that an image needs


def _pax_records(text: bytes, at: int) -> dict[str, str]:
    r"""Records of the form `LENGTH KEY=VALUE\n`, the length counting all of it."""
    records: dict[str, str] = {}
    while text:
        length, _, _ = text.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(text):
            raise DamagedTarError(f"has a damaged pax header at byte {at:,}")
        key, _, value = text[len(length) + 1 : int(length) - 1].partition(b"=")
        records[_text(key)] = _text(value)
        text = text[int(length) :]
    return records


def _apply(records: dict[str, str], member: Member) -> None:
    if not records:
        return
    member.name = records.get("path", member.name)
    if records.get("size", "").isdigit() and member.kind == "a file":
        member.size = int(records["size"])
    if any(key.startswith("GNU.sparse.") for key in records):
        member.kind = "a sparse file"


def _read_compressed(path: str, wanted: Wanted) -> Iterator[tuple[Member, bytes]]:
    """The same by `tarfile`, which streams through every compression that Python knows."""
    try:
        with tarfile.open(path, "r|*") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined] # it would keep every member of the archive
                member = Member(info.name, info.size, info.offset_data, _kind(info))
                contents = tar.extractfile(info) if wanted(member) else None
                if contents is not None:
                    yield member, contents.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the archive's
        raise DamagedTarError(f"cannot be unpacked further: {error}") from error


def _kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "a sparse file"
    return "a file" if info.isreg() else _WITHOUT_CONTENTS.get(info.type, "an unknown kind of entry")
