"""The files of a state: made durable when they are written, and checked when they are read."""

from __future__ import annotations

import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import ModelError
from hakubooru.files import write_text
from hakubooru_trainer.model.stream import Held, body, head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

MARK: Final = "state.json"
_PIECE: Final = 1 << 24
"""Bytes that are read at a time."""


class TornStateError(ModelError):
    """A state that is not complete, or damaged."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> int:
    """Write a safetensors file durably, without a second copy in memory, and return its CRC-32."""
    crc = 0
    with path.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as beside:
        for data in _safetensors(tensors):
            hashed = beside.submit(zlib.crc32, data, crc)
            rest = memoryview(data)
            while rest:  # the system writes large data in parts
                rest = rest[file.write(rest) :]
            crc = hashed.result()
        os.fsync(file.fileno())
    return crc


def checksum(path: Path) -> int:
    """The CRC-32 of a file; -1 if it cannot be read."""
    crc, piece = 0, bytearray(_PIECE)
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(piece):
                crc = zlib.crc32(memoryview(piece)[:size], crc)
    except OSError:
        return -1
    return crc


def write_mark(state: Path, info: Mapping[str, Any]) -> None:
    """Write the mark that a state is complete, with what it says of itself.

    Args:
        state: the folder of the state.
        info: the contents of the mark.
    """
    text = json.dumps({"checksum": _checksum_of(info), **info})
    write_text(state / MARK, text)
    sync_folder(state)


def read_mark(state: Path) -> dict[str, Any]:
    """What a state says of itself.

    Raises:
        TornStateError: the mark is missing or damaged.
    """
    try:
        info: dict[str, Any] = json.loads((state / MARK).read_text(encoding="utf-8"))
        is_whole = info.pop("checksum") == _checksum_of(info)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TornStateError(f"{state} is torn ({MARK}: {error})") from error
    if not is_whole:
        raise TornStateError(f"{state} is torn ({MARK} does not have the checksum that was written)")
    return info


def take_tensors(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A tree with names in place of its tensors, and the tensors by name. Tensors that share memory get one name."""
    tensors: dict[str, Tensor] = {}
    names: dict[int, str] = {}  # by the tensors' addresses

    def taken(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            name = names.setdefault(value.data_ptr(), name) if value.numel() else name
            tensors[name] = value
            # Rounding depends on the layout in memory, which a file does not keep.
            return {"tensor": name} | ({} if value.is_contiguous() else {"strides": list(value.stride())})
        if isinstance(value, dict):
            return {"pairs": [[key, taken(inner, f"{name}/{key}")] for key, inner in value.items()]}
        if isinstance(value, (list, tuple)):
            return [taken(inner, f"{name}/{place}") for place, inner in enumerate(value)]
        return value

    return taken(tree, ""), tensors


def give_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put the tensors back into a tree of `take_tensors`."""
    if isinstance(value, dict):
        if "tensor" in value:
            tensor = tensors[value["tensor"]]
            if "strides" not in value:
                return tensor
            laid = torch.empty_strided(
                tensor.shape, value["strides"], dtype=tensor.dtype, device=tensor.device
            )
            return laid.copy_(tensor)
        if "pairs" not in value:  # a group of a state that was written before lists were looked into
            return value
        return {key: give_tensors(inner, tensors) for key, inner in value["pairs"]}
    if isinstance(value, list):
        return [give_tensors(inner, tensors) for inner in value]
    return value


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows does so by itself."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _checksum_of(info: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(info).encode())


def _safetensors(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, part by part."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1].element_size())
    yield head({name: Held(tensor.dtype, list(tensor.shape)) for name, tensor in ordered}, {})
    for _, tensor in ordered:
        yield body(tensor)
