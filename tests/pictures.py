"""Small pictures in every format, and archives of them, for tests."""

from __future__ import annotations

import io
import struct
import tarfile
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@cache
def picture(number: int, format: str = "webp", size: tuple[int, int] | None = None) -> bytes:
    """An image whose pixels and size tell its number."""
    image = Image.new("RGB", size or (16 + number % 17, 24), (number % 256, number // 256 % 256, 99))
    file = io.BytesIO()
    image.save(file, {"jpg": "jpeg"}.get(format, format))
    return file.getvalue()


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder; those that are there keep their places."""
    path.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def write_tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], **options) -> Path:
    """A tar of files, by `tarfile`; a list can hold a name twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, options.pop("mode", "w"), **options) as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def add_special(path: Path, name: str, type: bytes, linkname: str = "") -> None:
    """Append a link, a device, a folder, … to a tar."""
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo(name)
        info.type = type
        info.linkname = linkname
        tar.addfile(info)


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A png of a hundred bytes that declares billions of pixels."""
    good = bytearray(picture(1, "png"))
    good[16:24] = struct.pack(">II", width, height)
    return bytes(good)


def files_of(folder: Path) -> dict[str, bytes]:
    """What lies in a folder and below it, hidden names aside; a `meta.json` names that folder, here as OUT."""
    name, start = str(folder).encode(), len(folder.as_posix()) + 1
    files = {}
    for path in sorted(folder.rglob("*")):
        below = path.as_posix()[start:]
        if "/." not in f"/{below}" and path.is_file():
            data = path.read_bytes()
            files[below] = data.replace(name, b"OUT") if path.name == "meta.json" else data
    return files
