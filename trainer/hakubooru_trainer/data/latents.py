"""Encoded images, kept on disk: mean and deviation, so that what is drawn from them stays random.

    CACHE/<VAE>/0-00000.safetensors  latents of some hundred images: KEY.mean, KEY.std, float32
    CACHE/<VAE>/0.jsonl              a line for each of these files, written once it is whole: its name and keys

The number that names begin with is the rank's that wrote them: several fill a cache together, and read all of it.
A key is the SHA-256 of an image's file and its bucket's size. <VAE> is the SHA-256 of the VAE's weights, with the precision.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from hakubooru.errors import DataSetError, TrainingError
from hakubooru.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.data.batches import Batches
    from hakubooru_trainer.distributed import Ranks

_IMAGES_A_FILE: Final = 256
_OPEN_FILES: Final = 64


@torch.no_grad()
def encode(vae: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents of images, one at a time so that the batch makes no difference; float32.

    Args:
        vae: on the device of the images. It computes in its own precision, also where autocast has the rest in fp16,
            in which SDXL's overflows.
        images: (B, 3, H, W), from -1 to 1.

    Returns:
        Two tensors, (B, 4, H/8, W/8), without the scaling factor.
    """
    with torch.autocast(images.device.type, enabled=False):
        found = [vae.encode(image[None].to(vae.dtype)).latent_dist for image in images]
    mean = torch.cat([distribution.mean for distribution in found]).float()
    return mean, torch.cat([distribution.std for distribution in found]).float()


def vae_key(vae: Any) -> str:
    """What tells one VAE from another: a hash of its weights, and what they are held in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return f"{digest.hexdigest()[:16]}-{str(vae.dtype).removeprefix('torch.')}"


class LatentCache:
    """Latents on disk, of one VAE."""

    def __init__(self, folder: Path, vae: Any, ranks: Ranks) -> None:
        self.folder = folder / vae_key(vae)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ranks = ranks
        self.index = self.folder / f"{ranks.rank}.jsonl"
        self.files: dict[str, str] = {}
        self.next = self._read_indexes()
        self._open = lru_cache(maxsize=_OPEN_FILES)(
            lambda name: safe_open(self.folder / name, framework="pt")
        )

    def get(self, content: str, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Mean and deviation of one image, each (4, H/8, W/8).

        Raises:
            DataSetError: what is stored is of another shape.
        """
        key = _key(content, size)
        name = self.files[key]
        file = self._open(name)
        mean, std = file.get_tensor(f"{key}.mean"), file.get_tensor(f"{key}.std")
        if mean.shape != std.shape or mean.shape[1:] != (size[1] // 8, size[0] // 8):
            raise DataSetError(
                f"{self.folder / name}: the latents of {key} are of shape {tuple(mean.shape)}; delete {self.folder} to have it made anew"
            )
        return mean, std

    def fill(self, batches: Batches, vae: Any) -> int:
        """Encode what is not there yet, a part on each rank, and give how many images that was in all.

        Raises:
            DataSetError: the ranks do not share the folder.
            TrainingError: the VAE gives numbers that are not finite.
        """
        missing = self._missing(batches)
        # One bucket after another, since a VAE is slow to turn to another size.
        rows = sorted(missing.values(), key=lambda row: int(batches.sizes.of[row]))
        self.ranks.wait()  # until all know what is missing
        held: dict[str, Tensor] = {}
        for key, mean, std in self._encoded(self.ranks.share(rows), batches, vae):
            held |= {f"{key}.mean": mean, f"{key}.std": std}
            if len(held) >= 2 * _IMAGES_A_FILE:
                self._write(held)
                held = {}
        if held:
            self._write(held)
        self.ranks.wait()
        self._read_indexes()
        if self._missing(batches):
            raise DataSetError(
                f"{self.folder} does not hold what other ranks wrote; cache.latents must name a folder that all machines share"
            )
        return len(rows)

    def _missing(self, batches: Batches) -> dict[str, int]:
        """Keys of the images that are not there, and a row of each."""
        return {
            key: row
            for row in range(len(batches.samples))
            if (key := self._key_of(batches, row)) not in self.files
        }

    def _encoded(
        self, rows: Sequence[int], batches: Batches, vae: Any
    ) -> Iterator[tuple[str, Tensor, Tensor]]:
        quiet = None if self.ranks.first else True
        for row in tqdm(rows, "encoding images", unit="image", disable=quiet):
            mean, std = encode(vae, torch.from_numpy(batches.pixels(row))[None].to(self.ranks.device))
            if not (mean.isfinite().all() and std.isfinite().all()):
                raise TrainingError(
                    f"the VAE gives numbers that are not finite for {batches.samples.path(row)}; "
                    'set model.vae_precision to "fp32", or model.vae to one that is fixed for fp16'
                )
            yield self._key_of(batches, row), mean[0].cpu(), std[0].cpu()

    def _write(self, held: dict[str, Tensor]) -> None:
        name = f"{self.ranks.rank}-{self.next:05d}.safetensors"
        with replacing(self.folder / name) as beside:
            save_file(held, beside)
        keys = [key.removesuffix(".mean") for key in held if key.endswith(".mean")]
        with self.index.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"file": name, "keys": keys}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.files |= dict.fromkeys(keys, name)
        self.next += 1

    def _read_indexes(self) -> int:
        """Take up what all ranks wrote, and give how many files are this one's."""
        own = 0
        for index in self.folder.glob("*.jsonl"):
            whole = index.read_bytes().rpartition(b"\n")[0]
            for line in whole.splitlines():
                record = json.loads(line)
                self.files |= dict.fromkeys(record["keys"], record["file"])
            if index == self.index:
                own = len(whole.splitlines())
                with index.open("rb+") as file:  # a line that a killed run left half written
                    file.truncate(len(whole) + bool(whole))
        return own

    def _key_of(self, batches: Batches, row: int) -> str:
        return _key(batches.samples.content(row), batches.size(row))


def _key(content: str, size: tuple[int, int]) -> str:
    return f"{content}-{size[0]}x{size[1]}"
