"""The memory that `plan` counts, beside the memory that real runs take: SDXL's widths on a CPU, cut in depth.

    python tests/benchmarks/memory_count.py [SETTING ...]

Each setting is a process of its own, which makes an update of two batches in fp32 at 512 by 512. Measured is how far its memory
grows at most after the imports and an update of the tiny model, for which the libraries load what they load at first use. Large
tensors are allocated apart from each other and given back at once (MALLOC_MMAP_THRESHOLD_), so that the allocator's gaps do not
count; the checkpoint is in half precision, so that no weight is a page of its file. Goal: within 10%.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from train import TEXT, UNET

from hakubooru_trainer import fits, loop
from hakubooru_trainer.checkpoint import Counters
from hakubooru_trainer.config.options import (
    BatchOptions,
    BucketOptions,
    CacheOptions,
    LokrOptions,
    OptimizerOptions,
    Options,
)
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.model import tiny
from hakubooru_trainer.setup import data_set, prepare
from tiny_runs import options_of
from training_pairs import write_pairs

GOAL = 0.1
MIB = 1 << 20
SIDE = 512
SETTINGS: dict[str, dict[str, Any]] = {
    "merged, checkpointing": {"checkpointing": True},
    "fused": {"forward": "fused"},
    "fused, checkpointing": {"forward": "fused", "checkpointing": True},
    "fused, checkpointing, 3 blocks keep theirs": {
        "forward": "fused",
        "checkpointing": True,
        "keep_blocks": 3,
    },
    "int8, checkpointing": {"weights": "int8", "checkpointing": True},
    "nf4, checkpointing": {"weights": "nf4", "checkpointing": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measured(Path(arguments.alone), SETTINGS[arguments.settings[0]])))
        return
    with tempfile.TemporaryDirectory() as folder:
        tiny._UNET.clear()
        tiny._UNET.update(UNET)
        tiny._TEXT.update(TEXT)
        tiny.write_tiny(Path(folder, "model"))
        for file in Path(folder, "model").rglob("*.safetensors"):
            save_file(
                {name: tensor.half() for name, tensor in load_file(file).items()}, file, {"format": "pt"}
            )
        write_pairs(Path(folder, "pairs"), [(SIDE, SIDE)] * 8)
        print("| setting | counted, MiB | measured, MiB | counted / measured |\n|---|---|---|---|")
        is_far_off = False
        for name in arguments.settings or SETTINGS:
            counted, grown, purposes = alone(folder, name)
            is_far_off |= abs(counted / grown - 1) > GOAL
            print(
                f"| {name} | {counted / MIB:,.0f} ({', '.join(purposes)}) | {grown / MIB:,.0f} | {counted / grown:.2f} |",
                flush=True,
            )
    sys.exit(is_far_off)


def alone(folder: str, name: str) -> tuple[int, int, list[str]]:
    """Measure a setting in a process of its own."""
    apart = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    process = subprocess.run(
        [sys.executable, __file__, name, "--alone", folder],
        env={**os.environ, **apart},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    counted, grown, purposes = json.loads(process.stdout.splitlines()[-1])
    return counted, grown, purposes


def measured(folder: Path, setting: dict[str, Any]) -> tuple[int, int, list[str]]:
    """The bytes that are counted, the bytes that the process grows by, and the counted purposes in words."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as small:
        tiny.write_tiny(Path(small, "model"))
        write_pairs(Path(small, "pairs"), [(64, 64)] * 4)
        update(options(Path(small), setting, side=64))
    gc.collect()
    resident = status("VmRSS")
    settings = options(folder, setting)
    update(settings)
    grown = status("VmHWM") - resident
    purposes = fits.count(settings, *fits.skeletons(settings), (SIDE, SIDE)).memory(settings)
    return sum(purposes.values()), grown, [f"{name}: {size / MIB:,.0f}" for name, size in purposes.items()]


def update(settings: Options) -> None:
    """Make an update; the kernel's account of the peak begins after the model was read."""
    ranks = Ranks(torch.device("cpu"))
    training = prepare(settings, ranks, data_set(settings, ranks))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    with contextlib.closing(
        training.batches.training(training.data.order, range(training.data.batches))
    ) as ahead:
        loop._update(training, ahead, Counters())


def status(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) << 10


def options(folder: Path, setting: dict[str, Any], side: int = SIDE) -> Options:
    plain = options_of(
        folder / "model",
        folder / "pairs",
        folder / "out",
        buckets=BucketOptions(area=side * side, step=64, min_side=side, max_side=side),
        lokr=LokrOptions(forward=setting.get("forward", "auto")),
        optimizer=OptimizerOptions(name="lion8bit", lr=1e-6, text_lr=1e-6),
        batch=BatchOptions(size=1, accumulation=2),
        cache=CacheOptions(latents=str(folder / "latents")),
    )
    run = {name: value for name, value in setting.items() if name != "forward"}
    return replace(plain, run=replace(plain.run, updates=1, threads=2, **run))


if __name__ == "__main__":
    main()
