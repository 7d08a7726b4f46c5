"""Reading and writing safetensors files a piece at a time, so that a model of any size takes little memory.

safetensors' own reader maps the file into memory: what was read stays there until the system needs the room.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import torch

from hakubooru.errors import ModelError
from hakubooru.files import replacing
from hakubooru.progress import progress
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
    """The type and shape of a tensor in a file."""

    dtype: torch.dtype
    shape: list[int]

    @property
    def size(self) -> int:
        """How many numbers the tensor has."""
        return torch.Size(self.shape).numel()


class Reader:
    """A safetensors file that is open for reading; for use in a `with` statement.

    Raises:
        ModelError: the file is missing, is not safetensors, or holds numbers that cannot be computed with.
    """

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        refuse_packed(header.tensors, header.metadata, path)
        self.path = path
        self.metadata = header.metadata
        kinds = {name: kind for kind, name in _NAMES.items()}
        self.tensors: dict[str, Held] = {}
        """The tensors by name, in the order in which they are stored."""
        self._places: dict[str, int] = {}
        for key, stored in header.tensors.items():
            if stored.dtype not in kinds or is_companion(key):
                quantised = f"as {stored.dtype}" if stored.dtype not in kinds else "for quantised weights"
                raise ModelError(
                    f"{path} holds {key} {quantised}, which cannot be computed with; use the model in fp16, bf16 or fp32"
                )
            self.tensors[key] = Held(kinds[stored.dtype], stored.shape)
            self._places[key] = stored.start
        self._file = path.open("rb")

    def tensor(self, key: str) -> Tensor:
        """Read a whole tensor."""
        stored = self.tensors[key]
        return self.piece(key, 0, stored.size).reshape(stored.shape)

    def pieces(self, key: str) -> Iterator[Tensor]:
        """Read all numbers of a tensor, a piece at a time."""
        size = self.tensors[key].size
        return (self.piece(key, start, min(start + PIECE, size)) for start in range(0, size, PIECE))

    def piece(self, key: str, start: int, stop: int) -> Tensor:
        """Read some numbers of a tensor, (stop - start,), in the order of the file: the last dimension runs first."""
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
    """The header of a safetensors file, with its length in front.

    Args:
        tensors: types and shapes, in the order in which the tensors are stored; the widest numbers first, so that all are aligned.
        metadata: the metadata of the file.
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
    """The bytes of a tensor as a file has them, without a copy if it lies on the CPU in one piece."""
    data: memoryview = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return data


def write(
    out: Path, tensors: Mapping[str, Held], pieces: Iterable[Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; it appears whole or not at all.

    Args:
        out: the file.
        tensors: types and shapes, as for `head`.
        pieces: the numbers of all tensors, one after another, in portions of any size.
        metadata: the metadata of the header.
    """
    total = sum(tensor.size * tensor.dtype.itemsize for tensor in tensors.values())
    with (
        replacing(out) as beside,
        beside.open("wb") as file,
        progress(total=total, unit="B", unit_scale=True) as bar,
    ):
        file.write(head(tensors, metadata))
        for piece in pieces:
            data = body(piece)
            file.write(data)
            bar.update(len(data))
