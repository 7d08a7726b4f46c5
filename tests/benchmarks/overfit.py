"""Eight images learned by heart: the tiny model, the plain loss over all timesteps, three seeds.

    python tests/benchmarks/overfit.py [--updates 400] [--bound 0.15]

A random model owes about 1 on noise. The mean loss of the last 40 updates has to fall below the bound; two minutes a seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru_trainer.config.options import (
    BatchOptions,
    CacheOptions,
    LokrOptions,
    OptimizerOptions,
    Options,
    TextOptions,
)
from hakubooru_trainer.loop import run
from hakubooru_trainer.model.tiny import write_tiny
from tiny_runs import options_of
from training_pairs import write_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--bound", type=float, default=0.15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(Path(folder, "model"))
        write_pairs(Path(folder, "pairs"), [(64, 64)] * 8)
        print("| seed | first 3 | last 40 | seconds |\n|---|---|---|---|")
        losses = [learned(options(Path(folder), arguments.updates), seed) for seed in (1, 2, 3)]
    sys.exit(max(losses) >= arguments.bound)


def options(folder: Path, updates: int) -> Options:
    plain = options_of(
        folder / "model",
        folder / "pairs",
        "",
        text=TextOptions(train=False, tokens=75),
        lokr=LokrOptions(save="fp32"),
        optimizer=OptimizerOptions(
            name="adamw", lr=3e-2, betas=(0.9, 0.99), weight_decay=0, warmup=5, schedule="cosine"
        ),
        batch=BatchOptions(size=8),
        cache=CacheOptions(latents=str(folder / "latents")),
    )
    return replace(
        plain,
        run=replace(plain.run, updates=updates, threads=1),
        buckets=replace(plain.buckets, min_side=64, max_side=64),
    )


def learned(settings: Options, seed: int) -> float:
    """The mean loss of a run's last updates."""
    out = Path(settings.data[0].path).with_name(f"seed{seed}")
    start = time.perf_counter()
    run(replace(settings, run=replace(settings.run, out=str(out), seed=seed)))
    seconds = time.perf_counter() - start
    lines = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    losses = [line["loss"] for line in lines if "loss" in line]
    first, last = sum(losses[:3]) / 3, sum(losses[-40:]) / 40
    print(f"| {seed} | {first:.3f} | {last:.3f} | {seconds:.0f} |")
    return last


if __name__ == "__main__":
    main()
