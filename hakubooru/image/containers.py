"""Reading images that do not lie in tars: in folders, zip archives and Parquet files.

Every reader lists a container once, and reads the wanted members, one at a time.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakubooru.image.layouts import INDEX_SUFFIX, archive_kind
from hakubooru.image.tar import DamagedTarError, Member, read_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE_COLUMNS: Final = ("image", "webp", "jpg", "png", "img", "image_bytes", "bytes")
"""Columns of a Parquet file that hold images, as bytes or as a struct of `bytes` and `path`."""
ID_COLUMNS: Final = ("id", "post_id")
"""Columns of a Parquet file that hold posts."""
NAME_COLUMNS: Final = ("filename", "file_name", "path")
"""Columns of a Parquet file that hold names of images, if no column holds posts."""
_ROWS: Final = 64
"""Rows that are read at a time."""
_BUFFER: Final = 2**20
"""The bytes of a Parquet file that are read at a time. By itself Arrow reads whole columns ahead, and keeps them."""
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What `zipfile` raises for a damaged archive, or for one that is packed in a way that it does not know."""


def read_folder(path: str, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """List a folder once and read the wanted files, one at a time, in the order of their names.

    Folders in it are skipped, and tars and their indexes, which are archives of their own. Links to files are followed.

    Args:
        path: the folder.
        wanted: is called with every file; True reads it.

    Yields:
        the wanted files with their contents.

    Raises:
        OSError: the folder, or a file in it, cannot be read.
    """
    chosen: list[Member] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if INDEX_SUFFIX in entry.name or archive_kind(entry.name):
                continue
            if entry.is_file():
                member = Member(entry.name, entry.stat().st_size, 0)
            elif entry.is_dir():
                continue
            else:
                member = Member(entry.name, 0, 0, "a link that leads nowhere, or a device")
            if wanted(member):
                chosen.append(member)
    chosen.sort(key=lambda member: member.name)
    for member in chosen:
        with open(f"{path}/{member.name}", "rb", buffering=0) as file:  # noqa: PTH123 - Path costs more than the call
            yield member, file.readall()


class _MemberSeen(Exception):  # noqa: N818 - not an error
    """Ends the reading of a tar at its first member."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an archive of images by its name, or begins as a tar does, packed or not."""

    def stop(_: Member) -> bool:
        raise _MemberSeen

    if archive_kind(Path(path).name):
        return True
    try:
        list(read_tar(os.fspath(path), stop))
    except DamagedTarError:
        return False
    except _MemberSeen:
        pass
    return True


def read_zip(path: str, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """Read the wanted files of a zip archive, in its order.

    Args:
        path: the archive.
        wanted: is called with every file; True reads it.

    Yields:
        the wanted files with their contents.

    Raises:
        DamagedTarError: the archive, or a file in it, is damaged; all others were yielded.
        OSError: the archive cannot be read.
    """
    damage: Exception | None = None
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                kind = (
                    "a folder" if entry.is_dir() else "an encrypted file" if entry.flag_bits & 1 else "a file"
                )
                member = Member(entry.filename, entry.file_size, 0, kind)
                if not wanted(member):
                    continue
                try:
                    data = archive.read(entry)
                except _DAMAGE as error:
                    damage = damage or error
                else:
                    yield member, data
    except _DAMAGE as error:
        damage = error
    if damage is not None:
        raise DamagedTarError(f"is a damaged zip archive ({damage})") from damage


def read_parquet(path: str, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """Read the wanted images of a Parquet file, in its order.

    A member is named by its post, or by the name that the file has for it. Its size is not known before it is read.

    Args:
        path: the file.
        wanted: is called with every row that has an image; True reads it.

    Yields:
        the wanted images with their contents.

    Raises:
        DamagedTarError: the file is damaged.
        OSError: the file cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            columns = image_columns(file.schema_arrow)
            if columns is None:
                return
            image, name = columns
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=[name]).column(0).to_pylist()
                members = [Member(_name(value), 1, 0) for value in names]
                rows = {row for row, member in enumerate(members) if wanted(member)}
                if not rows:
                    continue
                row = 0
                for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[image]):
                    for value in batch.column(0):
                        if row in rows and (data := _bytes(value)) is not None:
                            yield members[row], data
                        row += 1
    except (pa.ArrowException, ValueError) as error:
        raise DamagedTarError(f"is a damaged Parquet file ({error})") from error


def image_columns(schema: Any) -> tuple[str, str] | None:
    """Return the columns of images and of their posts or names in an Arrow schema; None without both."""
    import pyarrow.types as kinds  # noqa: PLC0415 - takes a while

    def is_binary(kind: Any) -> bool:
        return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))

    def holds_images(name: str) -> bool:
        kind = schema.field(name).type
        inner = (
            {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
            if kinds.is_struct(kind)
            else {}
        )
        return is_binary(kind) or is_binary(inner.get("bytes", kind))

    columns = set(schema.names)
    image = next((name for name in IMAGE_COLUMNS if name in columns and holds_images(name)), None)
    name = next((name for name in (*ID_COLUMNS, *NAME_COLUMNS) if name in columns), None)
    if image is None:
        return None
    if name is not None:
        return image, name
    return (image, f"{image}.path") if kinds.is_struct(schema.field(image).type) else None


def _name(value: Any) -> str:
    """Return the name of an image: that of the file, or its post with a suffix that says nothing of its kind."""
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, float) and value.is_integer():  # pandas makes it of an id beside missing ones
        value = int(value)
    text = "" if value is None else str(value)
    return f"{text}.webp" if re.fullmatch(r"[0-9]+|[0-9a-f]{32}", text) else text


def _bytes(value: Any) -> bytes | None:
    data = value.as_py()
    return data.get("bytes") if isinstance(data, dict) else data


READERS: Final[dict[str, Callable[[str, Callable[[Member], bool]], Iterator[tuple[Member, bytes]]]]] = {
    "folder": read_folder,
    "tar": read_tar,
    "zip": read_zip,
    "parquet": read_parquet,
}
"""The reader of each kind of archive."""
