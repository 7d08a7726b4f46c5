"""The order of a run: which images share a batch, and when each batch comes. It follows from data set, options and seed.

Batches are numbered from the start of the run, through all epochs. Any batch can be computed without those before it.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from hakubooru.select import sampling
from hakubooru_trainer import randomness

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru_trainer.config.data import BucketOptions
    from hakubooru_trainer.data.samples import Samples

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


class Sizes(NamedTuple):
    """The sizes that images are resized and cropped to."""

    sizes: Integers
    """Width and height of S sizes, (S, 2)."""
    of: Integers
    """The index of each image's size, (N,)."""


class Place(NamedTuple):
    """A batch in the order of the run."""

    epoch: int
    position: int
    """The place of its first image in the epoch: the number of the batch times the batch size."""
    rows: Integers
    """Its images, as rows of the samples."""


def sizes(samples: Samples, options: BucketOptions) -> Sizes:
    """The size of every image's bucket; sizes that no image has are left out."""
    buckets = options.sizes()
    all_sizes = buckets.sizes()
    wanted = all_sizes[buckets.of(samples.widths, samples.heights, by=options.nearest)]
    if not options.upscale:
        own = np.stack([samples.widths, samples.heights], 1)
        small = (own < wanted).any(1)
        least = np.minimum(own // options.step * options.step, wanted)
        wanted[small] = np.maximum(least, options.step)[small]
    packed, of = np.unique(wanted[:, 0] << 32 | wanted[:, 1], return_inverse=True)
    return Sizes(np.stack([packed >> 32, packed & 0xFFFFFFFF], 1), of.reshape(-1))


class Round(NamedTuple):
    """Images of a bucket of which each epoch draws a part. The next epoch draws the part that follows, and so around."""

    bucket: int
    rate: Fraction
    """The part that an epoch draws, from 0 up to 1."""
    rows: Integers

    def span(self, epoch: int) -> tuple[int, int]:
        """How many images are drawn before an epoch, and how many up to its end."""
        share = self.rate * len(self.rows)
        return int(share * epoch), int(share * (epoch + 1))

    def drawn(self, epoch: int) -> Integers:
        """The rows that an epoch draws."""
        return self.rows[np.arange(*self.span(epoch)) % len(self.rows)]


class Order:
    """The batches of a run.

    A data set that weighs 2.3 gives an epoch each of its images twice, and three tenths of each bucket's images once more. The
    next epoch takes the three tenths that follow, so that ten epochs draw each image 23 times. Epochs may therefore differ by
    some batches.

    Args:
        samples: the images.
        buckets: the index of each image's size, (N,).
        batch: images in a batch.
        seed: the seed of the run.
        fill: whether to fill the last batch of a bucket with repeats.
    """

    def __init__(self, samples: Samples, buckets: Integers, *, batch: int, seed: int, fill: bool) -> None:
        self.batch = batch
        self.seed = seed
        self.fill = fill
        self.ids = samples.ids
        self.sources = samples.sources
        self.buckets = buckets
        rates = [Fraction(str(data.options.weight)) * (data.options.repeats or 1) for data in samples.sets]
        self.whole = np.array([int(rate) for rate in rates])[
            samples.sources
        ]  # how often every epoch draws each image
        self.counts = np.bincount(buckets, self.whole).astype(np.int64)  # and so from each bucket
        self.rounds = self._rounds([rate % 1 for rate in rates])
        self._ends = [0]  # the number of batches before each epoch
        self._kept = lru_cache(maxsize=2)(self._ordered)
        self._lock = Lock()  # the threads that make batches share this object

    def __getitem__(self, number: int) -> Place:
        epoch = self._epoch_of(number)
        place = number - self._ends[epoch]
        rows, starts, ends = self._epoch(epoch)
        some = rows[starts[place] : ends[place]]
        if self.fill and len(some) < self.batch:
            bucket = self.buckets[some[0]]
            whole = rows[self.buckets[rows] == bucket]
            some = np.concatenate([some, np.resize(whole, self.batch - len(some))])
        return Place(epoch, place * self.batch, some)

    def batches(self, epochs: float) -> int:
        """How many batches a number of epochs has."""
        whole, rest = divmod(epochs, 1)
        start, end = self._up_to(int(whole)), self._up_to(int(whole) + 1)
        return start + round(rest * (end - start))

    def epochs(self, batches: int) -> float:
        """How many epochs a number of batches is."""
        epoch = self._epoch_of(batches)
        start, end = self._ends[epoch], self._ends[epoch + 1]
        return epoch + (batches - start) / (end - start)

    def images(self, first: int, last: int) -> int:
        """How many images are in the batches from `first` to `last`, without `last`."""
        if self.fill:
            return (last - first) * self.batch
        total = 0
        while first < last:
            epoch = self._epoch_of(first)
            _, starts, ends = self._epoch(epoch)
            stop = min(last, self._ends[epoch + 1])
            some = slice(first - self._ends[epoch], stop - self._ends[epoch])
            total += int((ends[some] - starts[some]).sum())
            first = stop
        return total

    def _epoch_of(self, number: int) -> int:
        while self._ends[-1] <= number:
            self._up_to(len(self._ends))
        return bisect_right(self._ends, number) - 1

    def _up_to(self, epoch: int) -> int:
        """How many batches come before an epoch."""
        with self._lock:
            while len(self._ends) <= epoch:
                counts = self.counts.copy()
                for one in self.rounds:
                    start, end = one.span(len(self._ends) - 1)
                    counts[one.bucket] += end - start
                self._ends.append(self._ends[-1] + int((-(-counts // self.batch)).sum()))
        return self._ends[epoch]

    def _epoch(self, epoch: int) -> tuple[Integers, Integers, Integers]:
        """`_ordered`, computed once for all threads: for five million images it takes seconds."""
        with self._lock:
            return self._kept(epoch)

    def _rounds(self, rates: list[Fraction]) -> list[Round]:
        """The rounds of the data sets that are drawn in part, one for each bucket."""
        rounds = []
        for source, rate in enumerate(rates):
            rows = np.flatnonzero(self.sources == source) if rate else np.empty(0, np.int64)
            rows = rows[np.argsort(sampling.keys(self.ids[rows], randomness.number("round", self.seed)))]
            buckets = self.buckets[rows]
            rounds += [Round(bucket, rate, rows[buckets == bucket]) for bucket in np.unique(buckets).tolist()]
        return rounds

    def _ordered(self, epoch: int) -> tuple[Integers, Integers, Integers]:
        """An epoch's rows in the order of buckets, shuffled within, and where each batch begins and ends in them."""
        rows = np.repeat(np.arange(len(self.ids)), self.whole)
        copies = np.arange(len(rows)) - np.repeat(np.cumsum(self.whole) - self.whole, self.whole)
        more = np.concatenate([rows[:0], *(one.drawn(epoch) for one in self.rounds)])
        rows, copies = np.concatenate([rows, more]), np.concatenate([copies, self.whole[more]])
        copies += self.sources[rows].astype(np.int64) << 32  # data sets may share a post, and draw it apart
        keys = sampling.mix(
            sampling.keys(self.ids[rows], randomness.number("order", self.seed, epoch))
            ^ copies.astype(np.uint64)
        )
        order = np.lexsort((keys, self.buckets[rows]))
        rows = rows[order]
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
