"""Tensors that take long to compute, kept on disk so that later runs need not compute them.

    FOLDER/0-00000.safetensors   items, each of some tensors: NAME.0, NAME.1, …
    FOLDER/0.index               for each item of the complete files: the key that stands for its name, 8 bytes, and
                                 the number of its file, 4 bytes; little-endian

File names begin with the rank that wrote them: several ranks fill a cache together, and each reads all of it.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hakubooru.errors import DataSetError, TrainingError
from hakubooru.files import replacing
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from hakubooru.arrays import Ids
    from hakubooru_trainer.distributed import Ranks

Keys: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

_BYTES_A_FILE: Final = 128 * 2**20
_OPEN_FILES: Final = 64
_RECORD: Final = np.dtype([("key", "<u8"), ("file", "<u4")])


class Item(NamedTuple):
    """Tensors with the name that they are kept under."""

    name: str
    tensors: tuple[Tensor, ...]


class Cache:
    """A folder of tensors, which several ranks fill and read together.

    Args:
        folder: the folder, which is created; its name says what the tensors were computed with.
        ranks: the ranks of the run.
        option: the option that names the folder, for messages.
        bytes_a_file: a file is written as soon as its tensors take that many bytes.
    """

    def __init__(self, folder: Path, ranks: Ranks, option: str, *, bytes_a_file: int = _BYTES_A_FILE) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ranks = ranks
        self.option = option
        self.bytes_a_file = bytes_a_file
        self.keys: Keys = np.empty(0, np.uint64)
        """The keys of all items in the complete files, ascending."""
        self.places: Ids = np.empty(0, np.int64)
        """The file of each key: its rank times 2 ** 32, plus its number."""
        self.next = 0
        self._open = lru_cache(maxsize=_OPEN_FILES)(lambda name: safe_open(self.folder / name, "pt"))

    def has(self, keys: Keys) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of these keys have an item, (N,) bool."""
        if not len(self.keys):
            return np.zeros(len(keys), bool)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_there: np.ndarray[Any, np.dtype[np.bool_]] = self.keys[at] == keys
        return is_there

    def get(self, key: int, name: str, tensors: int) -> tuple[Tensor, ...]:
        """The tensors of an item that the cache has.

        Raises:
            DataSetError: the item's file is damaged or cannot be read.
        """
        place = int(self.places[np.searchsorted(self.keys, np.uint64(key))])
        file = _file_name(place >> 32, place & 0xFFFFFFFF)
        try:
            opened = self._open(file)
            return tuple(opened.get_tensor(f"{name}.{number}") for number in range(tensors))
        except (OSError, SafetensorError) as error:
            raise DataSetError(
                f"{self.folder / file} does not give {name} ({error}); delete {self.folder}, and the next run makes it again"
            ) from error

    def fill(self, keys: Keys, groups: Ids, make: Callable[[int], Item | None], what: str) -> int:
        """Compute the items that the cache lacks, a part on each rank, and return how many those were in all.

        Args:
            keys: the keys of all items that are needed, (N,); a key may occur several times.
            groups: items with the same number are computed together, (N,).
            make: computes the item of one of the N places, the first with its key; None if there is nothing to keep.
            what: the label of the progress bar.

        Raises:
            DataSetError: the ranks do not share the folder.
        """
        self._read_indexes()
        missing = np.flatnonzero(~self.has(keys))
        missing = missing[np.unique(keys[missing], return_index=True)[1]]
        missing = missing[np.argsort(groups[missing], kind="stable")]
        self.ranks.wait()  # all ranks list what is missing before one of them writes
        items: dict[int, Item] = {}
        size, unmade = 0, torch.zeros((), device=self.ranks.device)
        shared = self.ranks.share(missing.tolist())
        for place in progress(shared, desc=what, disable=not self.ranks.first):
            item = make(place)
            if item is None:
                unmade += 1
                continue
            items[int(keys[place])] = item
            size += sum(tensor.nbytes for tensor in item.tensors)
            if size >= self.bytes_a_file:
                self._write(items)
                items, size = {}, 0
        if items:
            self._write(items)
        self.ranks.wait()
        self.ranks.sum([unmade])
        self._read_indexes()
        if int((~self.has(keys[missing])).sum()) > int(unmade):
            raise DataSetError(
                f"{self.folder} does not hold what other ranks wrote; set {self.option} to a folder that all machines share"
            )
        return len(missing)

    def _write(self, items: dict[int, Item]) -> None:
        tensors = {
            f"{item.name}.{number}": tensor.cpu().contiguous()
            for item in items.values()
            for number, tensor in enumerate(item.tensors)
        }
        path = self._claimed()
        try:
            with replacing(path) as beside:
                save_file(tensors, beside)
        except (OSError, SafetensorError) as error:
            path.unlink(missing_ok=True)  # it is empty
            raise _unwritten(path, error) from error
        records = np.array([(key, self.next) for key in items], _RECORD)
        try:
            with self._index().open("ab") as file:
                file.write(records.tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(self._index(), error) from error

    def _claimed(self) -> Path:
        """Create the next file; another run may fill the same cache, so numbers may be taken."""
        while True:
            path = self.folder / _file_name(self.ranks.rank, self.next)
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                self.next += 1
            else:
                return path

    def _index(self) -> Path:
        return self.folder / f"{self.ranks.rank}.index"

    def _read_indexes(self) -> None:
        """Read the indexes of all ranks."""
        keys, places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for index in self.folder.glob("*.index"):
            whole, rest = divmod(index.stat().st_size, _RECORD.itemsize)
            records = np.fromfile(index, _RECORD, whole)
            keys.append(records["key"])
            places.append(records["file"].astype(np.int64) + (int(index.stem) << 32))
            if rest and index == self._index():
                os.truncate(index, whole * _RECORD.itemsize)  # a killed run may have written half a record
        joined = np.concatenate(keys)
        order = np.argsort(joined, kind="stable")
        self.keys, self.places = joined[order], np.concatenate(places)[order]


def weights_key(*models: Any) -> str:
    """A name for models that changes with their weights: a hash of them, and their precision."""
    digest = hashlib.sha256()
    for model in models:
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return f"{digest.hexdigest()[:16]}-{str(models[0].dtype).removeprefix('torch.')}"


def _unwritten(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"{path} could not be written ({error}); free some disk space and run the same command again"
    )


def _file_name(rank: int, number: int) -> str:
    return f"{rank}-{number:05d}.safetensors"
