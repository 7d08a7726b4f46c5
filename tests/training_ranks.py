"""Runs by several ranks beside the same by one process.

KILLS="1 UPDATE 4 9,0 FILE 3 9" has rank 1 get signal 9 as its fourth update begins; and when torchrun has started the ranks again,
rank 0 as it has begun to write the third file of a state.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import forked
from hakubooru_trainer import config, distributed, durable, loop
from hakubooru_trainer.config.options import (
    BatchOptions,
    BucketOptions,
    OptimizerOptions,
    SaveOptions,
    TextOptions,
)
from hakubooru_trainer.data.batches import Batches
from hakubooru_trainer.distributed import Ranks, launch
from hakubooru_trainer.loss import Objective


def small(options, out, optimizer, updates, *, name="lokr"):
    """A run as small as they come, of which four ranks can have their part."""
    return replace(
        options,
        run=replace(options.run, out=str(out), name=name, updates=updates, threads=1),
        buckets=BucketOptions(area=32 * 32, step=16, min_side=16, max_side=64),
        optimizer=OptimizerOptions(name=optimizer, lr=1e-4),
        text=TextOptions(train=False, tokens=75),
        batch=BatchOptions(size=1, accumulation=4),
        save=SaveOptions(every=2, states=9),
    )


def launched(runs, ranks):
    """Do runs one after another, shared by so many ranks, and keep a record of them."""
    forked.begin()
    paths = []
    for options in runs:
        path = Path(f"{options.run.out}.toml")
        path.write_text(config.dump(options), encoding="utf-8")
        paths.append(str(path))
    launch([sys.executable, forked.__file__, "training_ranks:main", *paths], ranks, runs[0].run)


def record_run(options):
    """Train. OUT/rank0.json says which images this rank's batches had, by their number, and what the weights were before each update.

    OUT/gradients.safetensors are those of the second update, summed over the ranks: the first in which all weights have
    one. In a run whose name is `nan`, the third update's last batch gives a loss that is none. In one whose name is `unlike`, each
    rank has a folder of its own, OUT/../rank0, from which relative paths begin.
    """
    rank, world = distributed.rank(), Ranks(torch.device("cpu")).world
    if options.run.name == "unlike":
        os.chdir(Path(options.run.out).with_name(f"rank{rank}"))
    ids, checksums, losses_taken = {}, [], []
    batch, sums, losses = Batches.batch, Ranks.sum_gradients, Objective.losses

    def batch_kept(self, place, number):
        result = batch(self, place, number)
        ids[number] = result.ids
        return result

    def sums_kept(self, weights):
        sums(self, weights)
        checksums.append(0)
        for weight in weights:
            checksums[-1] = zlib.crc32(weight.detach().numpy(), checksums[-1])
        if len(checksums) == 2 and self.first:
            gradients = {str(place): weight.grad for place, weight in enumerate(weights)}
            save_file(gradients, f"{options.run.out}/gradients.safetensors")

    def losses_kept(self, *arguments, **keywords):
        values = losses(self, *arguments, **keywords)
        losses_taken.append(values)
        number = rank + world * (len(losses_taken) - 1)
        is_bad = options.run.name == "nan" and number == 3 * options.batch.accumulation - 1
        return values * float("nan") if is_bad else values

    Batches.batch, Ranks.sum_gradients, Objective.losses = batch_kept, sums_kept, losses_kept
    try:
        loop.run(options)
    finally:
        Batches.batch, Ranks.sum_gradients, Objective.losses = batch, sums, losses
    record = {"ids": sorted(ids.items()), "weights": checksums}
    Path(options.run.out, f"rank{rank}.json").write_text(json.dumps(record))


def get_signals():
    """Do as KILLS says."""
    kills = os.environ.get("KILLS", "").split(",")[int(os.environ["TORCHELASTIC_RESTART_COUNT"]) :]
    if not kills or not kills[0]:
        return
    rank, moment, count, number = kills[0].split()
    if int(rank) != distributed.rank():
        return
    countdown = iter(range(int(count) - 1, -1, -1))

    def at(name):
        if name == moment and next(countdown, -1) == 0:
            os.kill(os.getpid(), int(number))

    update, parts = loop._update, durable._safetensors

    def update_at(*arguments):
        at("UPDATE")
        return update(*arguments)

    def parts_at(tensors):
        for place, part in enumerate(parts(tensors)):
            yield part
            if place == 1:
                at("FILE")

    loop._update, durable._safetensors = update_at, parts_at


def records(options, world):
    return [json.loads(Path(options.run.out, f"rank{rank}.json").read_text()) for rank in range(world)]


def metrics(options):
    with Path(options.run.out, "metrics.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def weights(options):
    return load_file(f"{options.run.out}/{options.run.name}.safetensors")


def gradients(options):
    return load_file(f"{options.run.out}/gradients.safetensors")


def apart(one, other):
    """How far the numbers of one are from those of another, all of them in a row."""
    assert one.keys() == other.keys()
    return torch.cat([(one[name] - other[name]).abs().flatten() for name in one])


def main(paths):
    """Be a rank of the runs of some configurations."""
    torch.set_num_threads(1)
    get_signals()
    for path in paths:
        record_run(config.load(Path(path)))
