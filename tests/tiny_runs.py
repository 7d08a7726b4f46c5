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

SOME_LAYERS = LokrOptions(
    save="fp32",
    exclude=("lora_unet_input_blocks_[4-7]_*", "lora_unet_output_blocks_[0-46]_*"),
)
"""An adapter of a third of the shallow model's layers, with some of each kind: a run of it takes half the time."""

SMALL = {
    "batch": BatchOptions(size=1, accumulation=2),
    "buckets": BucketOptions(area=32 * 32, step=16, min_side=16, max_side=64),
}
"""Pictures and batches as small as they come: an update of them takes two thirds of the time."""

SMALLEST = SMALL | {"batch": BatchOptions()}
"""Small pictures with one batch an update, for what has no need to accumulate: half of that time."""


def options_of(model, export, out, /, **sections):
    """A run of four updates of some layers; keywords replace whole sections."""
    defaults = {
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
        "lokr": SOME_LAYERS,
        "optimizer": OptimizerOptions(name="adamw", lr=1e-2, text_lr=1e-3),
        "batch": BatchOptions(size=2, accumulation=2),
    }
    return Options(**defaults | sections)
