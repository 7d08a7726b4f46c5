"""Reading text files of any editor, and writing files that appear only when they are complete."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from hakubooru.errors import DestinationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

Places: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A path or a URL, or several of them."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The byte-order marks, each with its encoding."""
_DEVICES: Final = frozenset(
    ["aux", "con", "nul", "prn", *(f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789¹²³")]
)
"""Names that mean a device on Windows, whatever stands behind a dot."""
_LONGEST: Final = 200
"""The most bytes of a name, so that endings can follow: file systems take 255."""
_UNUSED_SECONDS: Final = 30 * 24 * 3600
"""A file of a cache that was not used for so long is removed."""
_ABANDONED_SECONDS: Final = 24 * 3600
"""A folder in which a file of a cache was made is removed after so long: its process was killed."""


def listed(places: Places | None) -> Sequence[str | os.PathLike[str]]:
    """Return paths and URLs as a list; one is a list of one, and None is an empty list.

    Raises:
        InputError: it is anything else.
    """
    if places is None or isinstance(places, str | os.PathLike):
        return () if places is None else (places,)
    some = list(places) if isinstance(places, Iterable) else [None]
    if not all(isinstance(one, str | os.PathLike) for one in some):
        raise InputError(f"a place is a path or a URL, or a list of them, not {places!r}: write 'folder/'")
    return some


def is_remote(place: object) -> bool:
    """Return whether a place is a URL."""
    return "://" in str(place)


def absolute(places: Places) -> list[str]:
    """Return places as text that means the same in any folder: URLs, and absolute paths."""
    return [str(place) if is_remote(place) else str(Path(place).absolute()) for place in listed(places)]


def is_file_name(name: str) -> bool:
    """Return whether files of every system can be called by a name with an ending behind it, such as `NAME.toml`."""
    return (
        0 < len(name.encode(errors="surrogateescape")) <= _LONGEST
        and not any(sign in '/\\:*?"<>|\x7f' or sign < " " for sign in name)
        and name.partition(".")[0].rstrip().lower() not in _DEVICES
    )


def read_text(path: Path) -> str:
    r"""Read a text file in UTF-8, or in the encoding of its byte-order mark; every line ends in "\n".

    Editors on Windows write the mark, and PowerShell's `>` writes UTF-16.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not text.
    """
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    r"""Decode bytes in UTF-8, or in the encoding of their byte-order mark; every line ends in "\n".

    Raises:
        UnicodeDecodeError: the bytes are not text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    The temporary file lies in the same folder. It is synced to the disk before it is renamed. It gets the permissions
    of a new file (safetensors writes files that only their owner can read). If `path` is a link, the link stays, and
    its target is replaced. If it is a pipe or a device, the data is written into it.

    Raises:
        DestinationError: nothing reads from the pipe, or the path is a disk or a socket.
    """
    path = real_path(path)
    if _is_special(path):
        # Opened first: an error comes before the work, not after it.
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
        os.replace(beside, path)  # noqa: PTH105 - Path.replace reads like str.replace
    except OSError as error:
        error.filename = error.filename or os.fspath(path)  # a full disk names no file
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 with the ends of lines as they are; it appears whole or not at all, as by `replacing`."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to write into, and rename it to `path` when the block ends without an error.

    The temporary folder lies beside `path`; what a killed run left there is removed first. All files are synced to the disk
    before it is renamed.

    Args:
        path: a folder that does not exist yet, or is empty.

    Raises:
        OSError: `path` is a file, or a folder that is not empty.
    """
    beside = path.with_name(f".{path.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                with file.open("rb+") as opened:
                    os.fsync(opened.fileno())
        if path.is_dir():
            path.rmdir()  # Windows renames onto no folder, not even an empty one
        beside.rename(path)
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def real_path(path: Path) -> Path:
    """The target of a link, even if it does not exist yet; any other path is returned unchanged.

    Raises:
        DestinationError: the link leads back to itself.
    """
    if not path.is_symlink():
        return path
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # Python 3.13 raises nothing, and returns a link
        real = path
    if real.is_symlink():
        raise DestinationError(f"{path} is a link that leads back to itself; choose another path")
    return real


def _is_special(path: Path) -> bool:
    """Whether a path exists and is neither a file nor a folder, such as a pipe."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _stream(path: Path) -> BinaryIO:
    """Open a pipe or a device for writing.

    Raises:
        DestinationError: it is a disk or a socket, nothing reads from the pipe, or it cannot be written.
    """
    mode = path.stat().st_mode
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        kind = "a disk" if stat.S_ISBLK(mode) else "a socket"
        raise DestinationError(f"{path} is {kind}; name a file, a pipe or a terminal")
    try:
        # Without the flag, opening a pipe that nothing reads from waits for ever.
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise DestinationError(
                f"{path} is a pipe that nothing reads from; start the program that reads it first, or name a file"
            ) from error
        raise DestinationError(f"{path} cannot be written: {error.strerror}; name a file") from error
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def touch(path: Path) -> None:
    """Let a file of a cache count as used now, if that can be written down: `remove_unused` keeps it for a month."""
    with contextlib.suppress(OSError):  # somebody else's cache, or one that cannot be written
        os.utime(path)


def remove_unused(folder: Path) -> None:
    """Remove the files of a cache that were not used for a month, as `touch` says, and what killed processes have not finished."""
    now = time.time()
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process removes it, or still has it open
            age = now - path.stat().st_mtime
            if path.is_dir() and age > _ABANDONED_SECONDS:
                shutil.rmtree(path)
            elif path.is_file() and age > _UNUSED_SECONDS:
                path.unlink()
