"""An update of the trainer beside bare loops: LyCORIS's own forward, and training of the plain weights.

    python tests/benchmarks/train.py [--rounds 3] [--threads 2]

On a CPU in fp32: a UNet of SDXL's widths at 256 pixels, cut in depth to about 150 million parameters, both text encoders in,
batches of 2, accumulation of 8, cached latents, Lion on all sides. The sides take turns; medians count.
"""

from __future__ import annotations

import argparse
import copy
import gc
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from hakubooru_trainer import loop, optim  # noqa: E402
from hakubooru_trainer.checkpoint import Counters  # noqa: E402
from hakubooru_trainer.config.options import (  # noqa: E402
    BatchOptions,
    BucketOptions,
    CacheOptions,
    CaptionOptions,
    LokrOptions,
    LossOptions,
    OptimizerOptions,
    Options,
)
from hakubooru_trainer.distributed import Ranks  # noqa: E402
from hakubooru_trainer.lokr.adapter import Adapter  # noqa: E402
from hakubooru_trainer.lokr.preset import targets  # noqa: E402
from hakubooru_trainer.model import tiny  # noqa: E402
from hakubooru_trainer.model.load import load  # noqa: E402
from hakubooru_trainer.setup import data_set, prepare, trained_parts  # noqa: E402
from tiny_runs import options_of  # noqa: E402
from training_pairs import write_pairs  # noqa: E402

UNET = {
    "block_out_channels": [320, 640],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": [5, 10],
    "transformer_layers_per_block": [1, 2],
    "layers_per_block": 1,
    "sample_size": 32,
}
TEXT = {
    "text_encoder": {
        "num_hidden_layers": 2,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
    },
    "text_encoder_2": {
        "num_hidden_layers": 2,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_attention_heads": 20,
    },
}
ACCUMULATION = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    tiny._UNET.clear()
    tiny._UNET.update(UNET)
    tiny._TEXT.update(TEXT)
    with tempfile.TemporaryDirectory() as folder:
        tiny.write_tiny(Path(folder, "model"))
        write_pairs(Path(folder, "pairs"), [(256, 256)] * 32)
        measure(options(Path(folder), arguments.threads), arguments.rounds)


def options(folder: Path, threads: int) -> Options:
    plain = options_of(
        folder / "model",
        folder / "pairs",
        folder / "out",
        buckets=BucketOptions(area=256 * 256, step=64, min_side=256, max_side=256),
        captions=CaptionOptions(drop_tags=0.15),
        loss=LossOptions(min_snr_gamma=5),
        lokr=LokrOptions(),
        optimizer=OptimizerOptions(name="lion", lr=1e-6, text_lr=1e-6),
        batch=BatchOptions(size=2, accumulation=ACCUMULATION),
        cache=CacheOptions(latents=str(folder / "latents")),
    )
    return replace(plain, run=replace(plain.run, updates=100, threads=threads))


def measure(settings: Options, rounds: int) -> None:
    alone = Ranks(torch.device("cpu"))
    training = prepare(settings, alone, data_set(settings, alone))
    ahead = training.batches.training(training.data.order, range(training.data.batches))
    fixed = [training.batches.batch(training.data.order[number], number) for number in range(ACCUMULATION)]
    counters = Counters()

    other = load(settings.model, torch.float32)
    parts = trained_parts(vars(other), settings)
    lycoris = Adapter(targets(parts, settings.lokr))
    weights = [weight for _, weight in lycoris.weights()]
    # A copy of the model with all that the adapter changes free to move.
    plain = copy.deepcopy(other)
    free = []
    for target in targets(trained_parts(vars(plain), settings), settings.lokr):
        own = [target.module.weight] if target.factor else list(target.module.parameters())
        free += [weight.requires_grad_() for weight in own]
    lycoris.apply("lycoris")
    steps = [optim.optimizer(settings.optimizer, [(1e-6, some)]) for some in (weights, free)]
    in_unet = sum(weight.numel() for weight in other.unet.parameters())
    print(
        f"UNet of {in_unet / 1e6:.0f} million parameters; {sum(w.numel() for w in free) / 1e6:.0f} million plain weights "
        f"beside {sum(w.numel() for w in weights) / 1e6:.1f} million of the adapter\n"
    )

    def passes(model: object) -> None:
        for batch in fixed:
            (training.objective.losses(model, batch).sum() / 16).backward()

    def ours() -> None:
        passes(training.model)
        training.adapter.fold()
        training.adapter.changed()  # as after a step

    def step(optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()
        optimizer.zero_grad()

    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: object, *arguments: object) -> None:
        gc.collect()
        start = time.perf_counter()
        work(*arguments)
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    for number in range(rounds + 1):
        timed("update", loop._update, training, ahead, counters)
        timed("ours", ours)
        training.optimizer.zero_grad()
        timed("lycoris", passes, other)
        timed("lycoris step", step, steps[0])
        timed("plain", passes, plain)
        timed("plain step", step, steps[1])
        if number == 0:  # the first of each makes room and warms up
            seconds.clear()
    median = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [
        (
            "an update, data included",
            "update",
            ("lycoris", "lycoris step"),
            "LyCORIS's forward, fixed tensors",
            0.55,
        ),
        ("forward and backward of an update", "ours", ("plain",), "plain weights", 1.1),
        ("a whole update", "update", ("plain", "plain step"), "plain weights, with their step", 1.0),
    ]
    print("| what | seconds | beside it | seconds | ratio | goal |\n|---|---|---|---|---|---|")
    for what, side, others, name, goal in rows:
        beside = sum(median[one] for one in others)
        print(
            f"| {what} | {median[side]:.2f} | {name} | {beside:.2f} | {median[side] / beside:.2f} x | <= {goal} x |"
        )


if __name__ == "__main__":
    main()
