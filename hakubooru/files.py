"""Files that are whole or not there, and texts of any editor."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Final

from hakubooru.errors import DestinationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks, with the encoding that each tells of."""


def read_text(path: Path) -> str:
    r"""The text of a file in UTF-8, or in what its byte-order mark says; every line ends in "\n".

    Windows' editors write the mark, and PowerShell's `>` writes UTF-16.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is no text.
    """
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    r"""The text of bytes in UTF-8, or in what their byte-order mark says; every line ends in "\n".

    Raises:
        UnicodeDecodeError: they are no text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what was written there becomes the file that is meant when the block ends well.

    It lies beside that file, and is on the disk, not only on its way there, before it takes the place. It may be read
    by whom the system says (safetensors writes files that nobody else can read). A link stays: the file that it leads to
    is replaced. A pipe or a device is written through.

    Raises:
        DestinationError: nothing reads from the pipe, or the path is a disk or a socket.
    """
    path = real_path(path)
    if _is_special(path):
        # Opened before anything is made, so that nothing is made in vain.
        with _stream(path) as stream, TemporaryDirectory() as folder:
            spool = Path(folder, path.name)
            yield spool
            with spool.open("rb") as file:
                shutil.copyfileobj(file, stream)
        return
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.touch()
        mode = beside.stat().st_mode
        yield beside
        beside.chmod(mode)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105 - Path.replace, said as what it is
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def real_path(path: Path) -> Path:
    """Where a path leads: of a link, what it names, even if that is not there yet; else the path itself.

    Raises:
        DestinationError: the link leads back to itself.
    """
    if not path.is_symlink():
        return path
    try:
        return path.resolve(strict=path.exists())
    except (OSError, RuntimeError) as error:
        raise DestinationError(f"{path} is a link that leads nowhere; choose another path") from error


def _is_special(path: Path) -> bool:
    """Whether a path is something else than a file, a folder or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _stream(path: Path) -> BinaryIO:
    """A pipe or a device, open for writing.

    Raises:
        DestinationError: it cannot be written through.
    """
    mode = path.stat().st_mode
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        what = "a disk" if stat.S_ISBLK(mode) else "a socket"
        raise DestinationError(f"{path} is {what}; name a file, a pipe or a terminal")
    try:
        # Without the flag, a pipe that nothing reads from would be waited for, for ever.
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise DestinationError(
                f"{path} is a pipe that nothing reads from; start what reads it first, or name a file"
            ) from error
        raise DestinationError(f"{path} cannot be written: {error.strerror}; name a file") from error
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")
