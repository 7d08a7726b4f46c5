"""How far the weights of a run on several ranks are from those of the same run by one process.

python tests/benchmarks/train_ranks.py [--updates 20]

Twenty updates of the tiny model on 1, 2 and 4 ranks (gloo), each of four batches, at Epsilon's learning rates. The ranks' sums are rounded
in another order: of a gradient that is nearly zero that can turn the sign, and Lion moves a weight by its sign alone. What is
given is the largest distance of a weight, in steps of the learning rate too, and how many of all are more than 1e-6 apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru_trainer.config.options import DataOptions, LokrOptions, ModelOptions, Options, RunOptions
from hakubooru_trainer.model.tiny import write_tiny
from training_pairs import write_pairs
from training_ranks import apart, gradients, launched, small, weights

LR = 2e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=20)
    arguments = parser.parse_args()
    print(
        "| optimizer | ranks | gradients apart | weights apart | in steps | more than 1e-6 apart |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiny(folder / "tiny")
        write_pairs(folder / "pairs", [(96, 96)] * 5 + [(64, 128)] * 2 + [(160, 96)])
        base = Options(
            run=RunOptions(
                out="",
                epochs=0,
                updates=1,
                device="cpu",
                precision="fp32",
                weights="fp32",
                checkpointing=False,
            ),
            model=ModelOptions(path=str(folder / "tiny")),
            data=(DataOptions(path=str(folder / "pairs")),),
            lokr=LokrOptions(save="fp32"),
        )
        for optimizer in ("adamw", "lion", "lion8bit"):
            runs = {}
            for ranks in (1, 2, 4):
                run = small(base, folder / f"{optimizer}{ranks}", optimizer, arguments.updates)
                runs[ranks] = replace(run, optimizer=replace(run.optimizer, lr=LR))
                launched([runs[ranks]], ranks)
            for ranks in (2, 4):
                far = apart(weights(runs[ranks]), weights(runs[1]))
                slopes = apart(gradients(runs[ranks]), gradients(runs[1])).max()
                print(
                    f"| {optimizer} | {ranks} | {slopes:.1e} | {far.max():.1e} | {far.max() / LR:.2f} "
                    f"| {int((far > 1e-6).sum())} of {far.numel():,} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
