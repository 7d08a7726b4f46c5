"""Batches: all that an update needs of the data set. Threads prepare them ahead; each follows from its number alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch

from hakubooru.processes import ahead
from hakubooru_trainer import randomness
from hakubooru_trainer.data.images import DOWN, UnusableImageError, conditioning
from hakubooru_trainer.data.inputs import Inputs
from hakubooru_trainer.noise import pyramid_noise, pyramid_sizes
from hakubooru_trainer.timesteps import timestep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.data.contexts import ContextCache
    from hakubooru_trainer.data.images import View
    from hakubooru_trainer.data.latents import LatentCache
    from hakubooru_trainer.data.order import Order, Place, Sizes
    from hakubooru_trainer.data.samples import Sample, Samples
    from hakubooru_trainer.randomness import Floats

Picture = TypeVar("Picture")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images of one bucket, B of them, on the CPU or a device."""

    ids: tuple[int, ...]
    captions: tuple[str, ...]
    tokens: Tensor
    """Token ids of the first tokenizer, (B, chunks, 77)."""
    tokens_2: Tensor
    conditioning: Tensor
    """SDXL's six numbers of size and crop, (B, 6)."""
    weights: Tensor
    """Factors of the loss, (B,); 0 for an image that is left out."""
    decoded: Tensor
    """Whether each image and its mask could be decoded, (B,) bool. An image that could not is replaced by zeros with weight 0."""
    timesteps: Tensor
    """The timestep of each image, (B,) int64."""
    noise: Tensor
    """The noise to predict, (B, 4, H/8, W/8)."""
    offset: Tensor
    """Draws of the normal distribution for the noise offset, (B, 4, 1, 1)."""
    spread: Tensor
    """Draws of the normal distribution for the latents' deviation, (B, 4, H/8, W/8)."""
    pixels: Tensor | None
    """The images, (B, 3, H, W), from -1 to 1; None if latents are cached."""
    latents: tuple[Tensor, Tensor] | None
    """Mean and deviation of the cached latents, each (B, 4, H/8, W/8); None if images are encoded at every step."""
    masks: Tensor | None
    """Weights of places in the loss, (B, 1, H/8, W/8); None if no data set has masks."""
    sources: Tensor
    """The index of each image's data set, (B,) int64."""
    contexts: tuple[Tensor, Tensor] | None
    """Cached outputs of the text encoders, (B, chunks * 75 + 2, 2048) and (B, 1280); None if captions are encoded at every step."""

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """Copy the batch to pinned memory, from which a GPU copies while the processor goes on."""
        return self._each(torch.Tensor.pin_memory)

    def clone(self) -> Batch:
        """Copy the batch with tensors of its own."""
        return self._each(torch.Tensor.clone)

    def copy_(self, other: Batch) -> None:
        """Copy the numbers of another batch of these shapes into this one's tensors."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                value.copy_(getattr(other, name))
        for name in ("latents", "contexts"):
            for ours, theirs in zip(getattr(self, name) or (), getattr(other, name) or (), strict=True):
                ours.copy_(theirs)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        for name in ("latents", "contexts"):
            if (pair := getattr(self, name)) is not None:
                changed[name] = tuple(map(change, pair))
        return replace(self, **changed)


class _Shown(NamedTuple):
    """An image of a batch, and what a step shows of it."""

    row: int
    sample: Sample
    caption: str
    """The caption of the step, with its prefix; "" if it is dropped."""
    draw: tuple[int, ...]
    """The whole numbers that all that is random about it follows from."""
    timestep: int
    view: View


class Batches(Inputs):
    """Makes batches of samples.

    Args:
        samples: the images.
        sizes: the sizes of their buckets.
        options: the options of the run.
        tokenizers: both tokenizers of the model.
        latents: the cache of encoded images, if there is one.
        contexts: the cache of encoded captions, if there is one.
        pin: whether to put batches into pinned memory, from which a GPU copies by itself.
    """

    def __init__(
        self,
        samples: Samples,
        sizes: Sizes,
        options: Options,
        *,
        tokenizers: Sequence[Any],
        latents: LatentCache | None = None,
        contexts: ContextCache | None = None,
        pin: bool = False,
    ) -> None:
        super().__init__(samples, sizes, options, tokenizers)
        self.latents = latents
        self.contexts = contexts
        self.pin = pin

    def training(self, order: Order, numbers: range) -> Iterator[Batch]:
        """Make the batches of these numbers, in order."""
        return self._ahead(lambda number: self.batch(order[number], number), numbers)

    def batch(self, place: Place, number: int) -> Batch:
        """Make a batch for training.

        Args:
            place: its images, and where they stand in the run.
            number: the number of the batch in the run.
        """
        images = []
        for i, row in enumerate(place.rows.tolist()):
            draw = (self.options.run.seed, place.epoch, place.position + i, int(self.samples.ids[row]))
            sample = self.samples[row]
            caption = self.caption(sample, randomness.number("caption", *draw))
            timestep = self._timestep(draw, i, number)
            images.append(_Shown(row, sample, caption, draw, timestep, self.view(row, draw)))
        batch = self._made(images)
        noise = torch.stack([*map(self._pyramid, batch.noise, (image.draw for image in images))])
        return self._masked(replace(batch, noise=noise), images)

    def validation(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """Make the validation batches of these numbers: one image at one timestep each, with noise that is always the same."""
        steps = self.options.validation.timesteps

        def make(number: int) -> Batch:
            row, timestep = number // len(steps), steps[number % len(steps)]
            draw = (self.options.run.seed, 2**64 - 1, timestep, int(self.samples.ids[row]))
            sample = self.samples[row]
            caption = self.caption.unchanged(sample)
            return self._made([_Shown(row, sample, caption, draw, timestep, self.view(row))])

        return self._ahead(make, numbers)

    def _timestep(self, draw: tuple[int, ...], place: int, number: int) -> int:
        loss = self.options.loss
        if loss.timesteps_alike > 1:
            draw = (draw[0], number // loss.timesteps_alike, place)
        return timestep(loss, randomness.number("timestep", *draw))

    def _pyramid(self, noise: Tensor, draw: tuple[int, ...]) -> Tensor:
        """An image's noise with the coarser noise that the options add."""
        loss, (_, height, width) = self.options.loss, noise.shape
        ratios = [2 + 2 * randomness.fraction(f"pyramid {n}", *draw) for n in range(loss.pyramid_levels)]
        layers = [
            torch.from_numpy(randomness.normal((4, *size), f"pyramid layer {n}", *draw))
            for n, size in enumerate(pyramid_sizes(height, width, ratios))
        ]
        return pyramid_noise(noise, layers, loss.pyramid_discount) if layers else noise

    def _made(self, images: Sequence[_Shown]) -> Batch:
        samples, rows = self.samples, [image.row for image in images]
        captions, draws = tuple(image.caption for image in images), [image.draw for image in images]
        size = self.size(rows[0])
        shape = (4, size[1] // DOWN, size[0] // DOWN)
        crop = self.options.buckets.crop
        size_and_crop = [
            conditioning(*self.own_size(image.row), size, crop, image.view.fit) for image in images
        ]
        tokens, tokens_2 = self.tokens(captions)
        pixels, latents, contexts = None, None, None
        if self.latents is None:
            pictures = [self._usable(image, self._tensor) for image in images]
            blank = torch.zeros(3, size[1], size[0])
            pixels = torch.stack([blank if picture is None else picture for picture in pictures])
            decoded = [picture is not None for picture in pictures]
        else:
            pairs = [self._usable(image, self._latents) for image in images]
            latents = _stacked([pair or (torch.zeros(shape), torch.zeros(shape)) for pair in pairs])
            decoded = [pair is not None for pair in pairs]
        if self.contexts is not None:
            kept = (image.sample.caption if image.caption else "" for image in images)
            contexts = _stacked([*map(self.contexts.get, kept, tokens, tokens_2)])
        return Batch(
            ids=tuple(int(samples.ids[row]) for row in rows),
            captions=captions,
            tokens=tokens,
            tokens_2=tokens_2,
            conditioning=torch.tensor(size_and_crop),
            weights=torch.tensor(
                [
                    samples.sets[samples.sources[row]].options.loss_weight * is_decoded
                    for row, is_decoded in zip(rows, decoded, strict=True)
                ]
            ),
            decoded=torch.tensor(decoded),
            timesteps=torch.tensor([image.timestep for image in images]),
            noise=_normal(shape, "noise", draws),
            offset=_normal((4, 1, 1), "offset", draws),
            spread=_normal(shape, "latents", draws),
            pixels=pixels,
            latents=latents,
            masks=None,
            sources=torch.from_numpy(samples.sources[rows].astype(np.int64)),
            contexts=contexts,
        )

    def _tensor(self, image: _Shown) -> Tensor:
        return torch.from_numpy(self.pixels(image.row, image.view))

    def _latents(self, image: _Shown) -> tuple[Tensor, Tensor]:
        assert self.latents is not None
        return self.latents.get(self, image.row, is_flipped=image.view.is_flipped)

    def _mask(self, image: _Shown) -> Floats:
        return self.mask(image.row, image.view)

    def _masked(self, batch: Batch, images: Sequence[_Shown]) -> Batch:
        """A batch with its images' masks, if a data set of the run has masks; an image without a usable mask has no weight."""
        if not any(data.options.masks for data in self.samples.sets):
            return batch
        width, height = self.size(images[0].row)
        whole = np.ones((1, height // DOWN, width // DOWN), np.float32)
        masks = [self._usable(image, self._mask) for image in images]
        is_usable = torch.tensor([mask is not None for mask in masks])
        return replace(
            batch,
            masks=torch.from_numpy(np.stack([whole if mask is None else mask for mask in masks])),
            weights=batch.weights * is_usable,
            decoded=batch.decoded & is_usable,
        )

    def _usable(self, image: _Shown, get: Callable[[_Shown], Picture]) -> Picture | None:
        """What `get` gives of an image; None if it cannot be decoded."""
        try:
            return get(image)
        except UnusableImageError as error:
            self.leave_out(image.row, error)
            return None

    def _ahead(self, make: Any, items: Sequence[Any]) -> Iterator[Batch]:
        """The batches that `make` gives for the items, in order; threads make them a few items ahead."""

        def ready(item: Any) -> Batch:
            batch: Batch = make(item)
            return batch.pinned() if self.pin else batch

        workers = self.options.run.workers
        return ahead(ThreadPoolExecutor(workers), ready, items, 2 * workers)


def _normal(shape: tuple[int, ...], purpose: str, draws: list[tuple[int, ...]]) -> Tensor:
    return torch.from_numpy(np.stack([randomness.normal(shape, purpose, *draw) for draw in draws]))


def _stacked(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    first, second = zip(*pairs, strict=True)
    return torch.stack(first), torch.stack(second)
