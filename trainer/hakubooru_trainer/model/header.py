"""The header of a safetensors file: names, types and shapes, read without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from hakubooru.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIXES: Final = frozenset({".safetensors", ".sft"})
_LENGTH: Final = 8
"""Bytes of the number in front of the header, which is the header's length."""
_MOST: Final = 100_000_000
"""The most bytes that the format allows for a header."""


class Stored(NamedTuple):
    """How a tensor is stored in the file."""

    dtype: str
    """The format's name of the type: `F16`, `BF16`, `F8_E4M3`."""
    shape: list[int]
    start: int
    """The offset of its first byte in the file."""


class Header(NamedTuple):
    """The header of a file."""

    tensors: dict[str, Stored]
    """The tensors by name, in the order in which they are stored."""
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file, and check that the file has the length that the header gives.

    Raises:
        ModelError: the file is missing, has another format, or is cut short.
    """
    _check_format(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            text = file.read(length) if length <= _MOST else b""
        return _parsed(text, length, path.stat().st_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}); download it again") from error


def _check_format(path: Path) -> None:
    if not path.exists():
        raise ModelError(f"{path} does not exist; name a checkpoint file or a diffusers folder")
    if path.is_dir():
        raise ModelError(f"{path} is a folder; name a .safetensors file")
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    if is_gguf or suffix == ".gguf":
        raise ModelError(
            f"{path} is a GGUF file, whose weights are quantised for inference; name the .safetensors file that it was made from"
        )
    if suffix not in _SUFFIXES:
        raise ModelError(
            f"{path} is not a .safetensors file; a checkpoint in another format (.ckpt, .pt, .bin) may run code when it is opened: "
            "convert it to .safetensors first"
        )


def _parsed(text: bytes, length: int, size: int) -> Header:
    if not text or len(text) != length:
        raise ValueError("its header is incomplete")
    table = json.loads(text)
    metadata = table.pop("__metadata__", {})
    begin = _LENGTH + length
    tensors = {
        name: Stored(about["dtype"], about["shape"], begin + about["data_offsets"][0])
        for name, about in sorted(table.items(), key=lambda item: item[1]["data_offsets"])
    }
    end = begin + max((about["data_offsets"][1] for about in table.values()), default=0)
    if end != size:
        raise ValueError(f"it has {size:,} bytes, but its header says {end:,}")
    return Header(tensors, metadata)
