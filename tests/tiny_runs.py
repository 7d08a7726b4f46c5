"""Training runs of the tiny model, as small as most tests need them."""

from __future__ import annotations

from hakubooru_trainer.config.options import (
    BatchOptions,
    BucketOptions,
    DataOptions,
    LokrOptions,
    ModelOptions,
    OptimizerOptions,
    Options,
    RunOptions,
    TextOptions,
)


def options_of(model, export, out, /, **sections):
    """A run of four updates; keywords replace whole sections."""
    kept = {
        "run": RunOptions(
            out=str(out),
            epochs=0,
            updates=4,
            device="cpu",
            precision="fp32",
            weights="fp32",
            checkpointing=False,
        ),
        "model": ModelOptions(path=str(model)),
        "data": (DataOptions(path=str(export)),),
        "buckets": BucketOptions(area=64 * 64, step=16, min_side=32, max_side=128),
        "text": TextOptions(tokens=75),
        "lokr": LokrOptions(save="fp32"),
        "optimizer": OptimizerOptions(name="adamw", lr=1e-2, text_lr=1e-3),
        "batch": BatchOptions(size=2, accumulation=2),
    }
    return Options(**kept | sections)
