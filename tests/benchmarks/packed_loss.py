"""The held-out loss after 300 updates with frozen weights in 8 and 4 bits, beside that of fp32: the tiny model, on the CPU.

    python tests/benchmarks/packed_loss.py [--updates 300] [--seeds 1]

All runs see the same batches and the same noise. Goals: within 2% for int8 and fp8, within 5% for nf4.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import overfit

from hakubooru_trainer.config.options import BatchOptions, Options, TextOptions, ValidationOptions
from hakubooru_trainer.loop import run
from hakubooru_trainer.model.tiny import write_tiny
from training_pairs import write_pairs

GOALS = {"int8": 0.02, "fp8": 0.02, "nf4": 0.05}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(Path(folder, "model"))
        write_pairs(Path(folder, "pairs"), [(64, 64)] * 48)
        print("| weights | before | after | beside fp32 | goal |\n|---|---|---|---|---|")
        is_far_off = False
        plain = 0.0
        for weights in ("fp32", *GOALS):
            losses = [
                held_out(options(Path(folder), arguments.updates), weights, seed)
                for seed in range(1, arguments.seeds + 1)
            ]
            first, last = map(statistics.mean, zip(*losses, strict=True))
            plain = plain or last
            goal = GOALS.get(weights, 0.0)
            is_far_off |= abs(last / plain - 1) > goal
            print(
                f"| {weights} | {first:.4f} | {last:.4f} | {last / plain - 1:+.2%} | {goal:.0%} |", flush=True
            )
    sys.exit(is_far_off)


def options(folder: Path, updates: int) -> Options:
    settings = overfit.options(folder, updates)
    return replace(
        settings,
        text=TextOptions(tokens=75),
        optimizer=replace(settings.optimizer, lr=5e-3),
        batch=BatchOptions(size=4),
        validation=ValidationOptions(images=16, every=updates, timesteps=(100, 300, 500, 700, 900)),
    )


def held_out(settings: Options, weights: str, seed: int) -> tuple[float, float]:
    """The held-out losses before the first update and after the last one."""
    out = Path(settings.data[0].path).with_name(f"{weights}{seed}")
    run(replace(settings, run=replace(settings.run, out=str(out), seed=seed, weights=weights)))
    lines = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    losses = [line["validation"] for line in lines if "validation" in line]
    return losses[0], losses[-1]


if __name__ == "__main__":
    main()
