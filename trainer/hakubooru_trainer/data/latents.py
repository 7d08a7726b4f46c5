"""Encoded images, kept on disk as mean and deviation, so that the draws from them stay random.

CACHE/<VAE> holds them in float32, under the SHA-256 of an image's bytes with its bucket's size and its own. <VAE> is a hash of
the VAE's weights, with the precision and the version of our decoding. For an image that does not decode, the reason is kept;
nothing is kept for a file whose bytes are not those that the data set lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from hakubooru.errors import DataSetError, TrainingError
from hakubooru.image.decode import DECODE_CHANGES, DECODE_VERSION
from hakubooru.select import sampling
from hakubooru_trainer.data.cache import Cache, Item, weights_key
from hakubooru_trainer.data.images import DOWN, UnusableImageError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hakubooru_trainer.data.cache import Keys
    from hakubooru_trainer.data.inputs import Inputs
    from hakubooru_trainer.distributed import Ranks


@torch.no_grad()
def encode(vae: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Encode images one at a time, so that the batch makes no difference; float32.

    Args:
        vae: the VAE, on the device of the images. It computes in its own precision even under autocast to fp16, in which
            SDXL's VAE overflows.
        images: (B, 3, H, W), from -1 to 1.

    Returns:
        Mean and deviation of the latents, each (B, 4, H/8, W/8), without the scaling factor.
    """
    with torch.autocast(images.device.type, enabled=False):
        distributions = [vae.encode(image[None].to(vae.dtype)).latent_dist for image in images]
    mean = torch.cat([distribution.mean for distribution in distributions]).float()
    return mean, torch.cat([distribution.std for distribution in distributions]).float()


class LatentCache:
    """A cache of the latents that one VAE gives.

    Args:
        folder: the folder of all such caches.
        vae: the VAE.
        ranks: the ranks of the run.
    """

    def __init__(self, folder: Path, vae: Any, ranks: Ranks) -> None:
        key = weights_key(vae)
        self.cache = Cache(folder / f"{key}-decoding{DECODE_VERSION}", ranks, "cache.latents")
        if ranks.first and (folder / key).is_dir():
            tqdm.write(f"{folder / key} is not used and can be deleted: {DECODE_CHANGES}")

    def get(self, inputs: Inputs, row: int, *, is_flipped: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the latents of an image, or of the mirrored one, each (4, H/8, W/8).

        Raises:
            UnusableImageError: the image does not decode.
            DataSetError: the cached latents have another shape, or cannot be read.
        """
        key = _keys(inputs, np.array([row]), is_flipped)
        name, size = _name(inputs, row, is_flipped), inputs.size(row)
        if not self.cache.has(key)[0]:
            raise UnusableImageError(
                inputs.samples[row].path, "was not the image that is listed; export again"
            )
        mean, std, reason = self.cache.get(int(key[0]), name, 3)
        if len(reason):
            raise UnusableImageError(inputs.samples[row].path, reason.numpy().tobytes().decode())
        if mean.shape != std.shape or mean.shape[1:] != (size[1] // DOWN, size[0] // DOWN):
            raise DataSetError(
                f"the latents of {name} are of shape {tuple(mean.shape)}; delete {self.cache.folder}, and the next run makes it again"
            )
        return mean, std

    def fill(self, inputs: Inputs, vae: Any) -> int:
        """Encode the images that the cache lacks, a part on each rank, and return how many those were in all.

        Where images are flipped by chance, the mirrored ones are encoded too.

        Raises:
            DataSetError: the ranks do not share the folder, or an image cannot be read.
            TrainingError: the VAE gives numbers that are not finite.
        """

        def make(place: int) -> Item | None:
            is_flipped, row = divmod(place, len(inputs.samples))
            name = _name(inputs, row, bool(is_flipped))
            try:
                pixels = inputs.pixels(row, inputs.view(row, is_flipped=bool(is_flipped)))
            except UnusableImageError as error:
                # The key of a file that is not as listed is that of other bytes, which another file may have.
                if not inputs.is_as_listed(row):
                    others = np.flatnonzero(keys[place + 1 :] == keys[place])
                    if len(others):
                        return make(place + 1 + int(others[0]))
                    inputs.leave_out(row, error)
                    return None
                inputs.leave_out(row, error)
                reason = torch.frombuffer(bytearray(error.reason.encode()), dtype=torch.uint8)
                return Item(name, (torch.empty(0), torch.empty(0), reason))
            images = torch.from_numpy(pixels)[None].to(self.cache.ranks.device)
            mean, std = (part[0] for part in encode(vae, images))
            if not (mean.isfinite().all() and std.isfinite().all()):
                raise TrainingError(
                    f"the VAE gives numbers that are not finite for {inputs.samples[row].path}; "
                    'set model.vae_precision to "fp32", or model.vae to one that is fixed for fp16'
                )
            return Item(name, (mean, std, torch.empty(0, dtype=torch.uint8)))

        # Bucket by bucket: a VAE is slow to change to another size.
        sides = (False, True) if inputs.options.augment.flip else (False,)
        rows = np.arange(len(inputs.samples))
        keys = np.concatenate([_keys(inputs, rows, is_flipped) for is_flipped in sides])
        return self.cache.fill(keys, np.tile(inputs.sizes.of, len(sides)), make, "encoding images")


def _keys(inputs: Inputs, rows: np.ndarray[Any, Any], is_flipped: bool) -> Keys:
    samples = inputs.samples
    sizes = inputs.sizes.sizes[inputs.sizes.of[rows]]
    own = samples.widths[rows].astype(np.int64) << 32 | samples.heights[rows]
    mixed = sampling.mix(samples.contents[rows] ^ sampling.keys(sizes[:, 0] << 32 | sizes[:, 1], 0))
    keys = sampling.mix(mixed ^ sampling.keys(own, 1))
    return sampling.mix(~keys) if is_flipped else keys


def _name(inputs: Inputs, row: int, is_flipped: bool) -> str:
    width, height = inputs.size(row)
    own = f"{inputs.samples.widths[row]}x{inputs.samples.heights[row]}"
    return f"{inputs.samples[row].sha256}-{width}x{height}-{own}{'-flipped' * is_flipped}"
