"""Which images share a batch, and in which order the batches come: a pure function of data set, options and seed.

Batches are numbered from the start of the run, through all epochs; any of them can be had without those before it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hakubooru.image.bucket import Buckets
from hakubooru.select import sampling
from hakubooru_trainer import randomness

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru_trainer.config.options import BucketOptions
    from hakubooru_trainer.data.samples import Samples

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


class Sizes(NamedTuple):
    """The sizes that images are brought to."""

    sizes: Integers
    """(S, 2): width and height."""
    of: Integers
    """Which of them each image is brought to, (N,)."""


class Place(NamedTuple):
    """A batch in the order of the run."""

    epoch: int
    position: int
    """Of its first image in the epoch: the number of the batch times the batch size."""
    rows: Integers
    """Its images, as rows of the samples."""


def sizes(samples: Samples, options: BucketOptions) -> Sizes:
    """The size of every image's bucket; only sizes that some image has."""
    buckets = Buckets(
        area=options.area, step=options.step, min_side=options.min_side, max_side=options.max_side
    )
    all_sizes = buckets.sizes()
    wanted = all_sizes[buckets.of(samples.widths, samples.heights, by=options.nearest)]
    if not options.upscale:
        own = np.stack([samples.widths, samples.heights], 1)
        small = (own < wanted).any(1)
        least = np.minimum(own // options.step * options.step, wanted)
        wanted[small] = np.maximum(least, options.step)[small]
    found, of = np.unique(wanted, axis=0, return_inverse=True)
    return Sizes(found, of.reshape(-1))


class Order:
    """The batches of a run."""

    def __init__(self, samples: Samples, buckets: Integers, *, batch: int, seed: int, fill: bool) -> None:
        self.batch = batch
        self.seed = seed
        self.fill = fill
        self.ids = samples.ids
        self.buckets = buckets
        repeats = np.array(samples.repeats, np.int64)[samples.sources]
        self.rows = np.repeat(np.arange(len(samples)), repeats)
        starts = np.repeat(np.cumsum(repeats) - repeats, repeats)
        self.copies = np.arange(len(self.rows)) - starts  # which of its repeats each is
        counts = np.bincount(buckets[self.rows])
        self.batches = int((-(-counts // batch)).sum())
        """How many an epoch has."""
        self._epoch = lru_cache(maxsize=2)(self._ordered)

    def __getitem__(self, number: int) -> Place:
        epoch, place = divmod(number, self.batches)
        rows, starts, ends = self._epoch(epoch)
        some = rows[starts[place] : ends[place]]
        if self.fill and len(some) < self.batch:
            bucket = self.buckets[some[0]]
            whole = rows[self.buckets[rows] == bucket]
            some = np.concatenate([some, np.resize(whole, self.batch - len(some))])
        return Place(epoch, place * self.batch, some)

    def images(self, first: int, last: int) -> int:
        """How many images are in the batches from `first` up to `last`, which is not included."""
        if self.fill:
            return (last - first) * self.batch
        total = 0
        while first < last:
            epoch, place = divmod(first, self.batches)
            stop = min(self.batches, place + last - first)
            _, starts, ends = self._epoch(epoch)
            total += int((ends[place:stop] - starts[place:stop]).sum())
            first += stop - place
        return total

    def _ordered(self, epoch: int) -> tuple[Integers, Integers, Integers]:
        """Rows in the order of buckets, shuffled inside, and where each batch of the epoch begins and ends in them."""
        keys = sampling.mix(
            sampling.keys(self.ids[self.rows], randomness.number("order", self.seed, epoch))
            ^ self.copies.astype(np.uint64)
        )
        order = np.lexsort((keys, self.buckets[self.rows]))
        rows = self.rows[order]
        counts = np.bincount(self.buckets[rows])
        ends_of = np.cumsum(counts)
        parts = [
            np.arange(end - count, end, self.batch)
            for count, end in zip(counts, ends_of, strict=True)
            if count
        ]
        starts = np.concatenate(parts)
        ends = np.minimum(starts + self.batch, ends_of[self.buckets[rows[starts]]])
        shuffled: Ids = np.argsort(
            sampling.keys(np.arange(len(starts)), randomness.number("batches", self.seed, epoch))
        )
        return rows, starts[shuffled], ends[shuffled]
