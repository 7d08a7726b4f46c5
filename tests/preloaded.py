"""Imports all that takes long to import, once: the forks of a process that has imported this begin with it."""

import gc
from importlib import import_module

NAMES = (
    "bitsandbytes.optim.lion",
    "onnxruntime",
    "torch.utils.tensorboard",
    "conversion_stops",
    "evaluation_processes",
    "training_kills",
    "training_ranks",
    "training_signals",
)

gc.disable()  # it is for garbage, of which this leaves none; and where it walks in a fork, memory is copied
for name in NAMES:
    import_module(name)
gc.freeze()
gc.enable()
