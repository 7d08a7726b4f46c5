"""The files of a state: made durable as they are written, and checked as they are read."""

from __future__ import annotations

import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.model.stream import Held, body, head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

MARK: Final = "state.json"
_PIECE: Final = 1 << 24
"""Bytes that are read at a time."""


class TornStateError(ModelError):
    """A state that is not whole."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> int:
    """Write safetensors to the disk, with no second copy of them in memory, and give the file's CRC-32."""
    found = 0
    with path.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as beside:
        for data in _safetensors(tensors):
            hashed = beside.submit(zlib.crc32, data, found)
            rest = memoryview(data)
            while rest:  # of what is large, the system writes a part at a time
                rest = rest[file.write(rest) :]
            found = hashed.result()
        os.fsync(file.fileno())
    return found


def checksum(path: Path) -> int:
    """CRC-32 of a file; -1 where there is none."""
    found, piece = 0, bytearray(_PIECE)
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(piece):
                found = zlib.crc32(memoryview(piece)[:size], found)
    except OSError:
        return -1
    return found


def write_mark(state: Path, told: Mapping[str, Any]) -> None:
    """Say of a state that all is there, and what there is to say."""
    with replacing(state / MARK) as beside:
        text = json.dumps({"checksum": _checksum_of(told), **told})
        beside.write_text(text, encoding="utf-8", newline="\n")
    sync_folder(state)


def read_mark(state: Path) -> dict[str, Any]:
    """What a state says of itself.

    Raises:
        TornStateError: it says nothing, or not what was written.
    """
    try:
        told: dict[str, Any] = json.loads((state / MARK).read_text(encoding="utf-8"))
        is_whole = told.pop("checksum") == _checksum_of(told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TornStateError(f"{state} is torn ({MARK}: {error})") from error
    if not is_whole:
        raise TornStateError(f"{state} is torn ({MARK} is not what was written)")
    return told


def take_tensors(value: Any, name: str, tensors: dict[str, Tensor], known: dict[int, str]) -> Any:
    """A tree with names in the place of tensors, which go to `tensors`; those that share memory, once."""
    if isinstance(value, torch.Tensor):
        name = known.setdefault(value.data_ptr(), name) if value.numel() else name
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        pairs = [[key, take_tensors(inner, f"{name}/{key}", tensors, known)] for key, inner in value.items()]
        return {"pairs": pairs}
    return value


def give_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree again."""
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {key: give_tensors(inner, tensors) for key, inner in value["pairs"]}
    return value


def sync_folder(folder: Path) -> None:
    """Make durable what names a folder has; Windows does so by itself."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _checksum_of(told: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(told).encode())


def _safetensors(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """A file of tensors, a part at a time."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    yield head({name: Held(tensor.dtype, list(tensor.shape)) for name, tensor in ordered}, {})
    for _, tensor in ordered:
        yield body(tensor)
