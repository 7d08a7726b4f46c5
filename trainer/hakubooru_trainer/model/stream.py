"""Safetensors files read and written a piece at a time, so that a model of any size takes little memory.

safetensors' own reader maps the file into memory: what was once read stays there until the system wants the room.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import torch
from tqdm import tqdm

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru_trainer.model.header import read_header
from hakubooru_trainer.model.quantised import is_companion, refuse_packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

PIECE: Final = 1 << 20
"""Numbers that are read at a time."""

_NAMES: Final = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Held(NamedTuple):
    """What a tensor is held as."""

    dtype: torch.dtype
    shape: list[int]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return torch.Size(self.shape).numel()


class Reader:
    """A safetensors file, for use in a `with` statement.

    Raises:
        ModelError: it is not there, is none, or holds numbers that cannot be computed with.
    """

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        refuse_packed(header.tensors, header.metadata, path)
        self.path = path
        self.metadata = header.metadata
        kinds = {name: kind for kind, name in _NAMES.items()}
        self.tensors: dict[str, Held] = {}
        """By name, in the order in which they stand."""
        self._places: dict[str, int] = {}
        for key, stored in header.tensors.items():
            if stored.dtype not in kinds or is_companion(key):
                quantised = f"as {stored.dtype}" if stored.dtype not in kinds else "for quantised weights"
                raise ModelError(
                    f"{path} holds {key} {quantised}, which cannot be computed with; take the model in fp16, bf16 or fp32"
                )
            self.tensors[key] = Held(kinds[stored.dtype], stored.shape)
            self._places[key] = stored.start
        self._file = path.open("rb")

    def tensor(self, key: str) -> Tensor:
        """A whole tensor."""
        held = self.tensors[key]
        return self.piece(key, 0, held.size).reshape(held.shape)

    def pieces(self, key: str) -> Iterator[Tensor]:
        """All numbers of a tensor, a piece at a time."""
        size = self.tensors[key].size
        return (self.piece(key, start, min(start + PIECE, size)) for start in range(0, size, PIECE))

    def piece(self, key: str, start: int, stop: int) -> Tensor:
        """Some numbers of a tensor, (stop - start,), counted along its last dimension first."""
        dtype = self.tensors[key].dtype
        read = torch.empty((stop - start) * dtype.itemsize, dtype=torch.uint8)
        self._file.seek(self._places[key] + start * dtype.itemsize)
        self._file.readinto(read.numpy().data)
        return read.view(dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def head(tensors: Mapping[str, Held], metadata: Mapping[str, str]) -> bytes:
    """What a safetensors file begins with.

    Args:
        tensors: what it holds, in the order in which it stands there; the widest numbers first, so that all are aligned.
        metadata: of the whole.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for key, (dtype, shape) in tensors.items():
        start, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        header[key] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def body(tensor: Tensor) -> memoryview:
    """A tensor's numbers as they stand in a file; no copy is made of one that lies on the CPU as it is."""
    data: memoryview = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return data


def write(
    out: Path, tensors: Mapping[str, Held], pieces: Iterable[Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; it appears whole or not at all.

    Args:
        out: the file.
        tensors: as for `head`.
        pieces: the numbers of all of them, one after another, in any portions.
        metadata: of the header.
    """
    total = sum(held.size * held.dtype.itemsize for held in tensors.values())
    with (
        replacing(out) as beside,
        beside.open("wb") as file,
        tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar,
    ):
        file.write(head(tensors, metadata))
        for piece in pieces:
            data = body(piece)
            file.write(data)
            bar.update(len(data))
