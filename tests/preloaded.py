"""Imports all that takes long to import, and builds a model, once: the forks of a process that has imported this begin with it."""

import gc
import tempfile
from importlib import import_module
from pathlib import Path

NAMES = (
    "bitsandbytes.optim.lion",
    "hakubooru.database",
    "numpy.ctypeslib",
    "onnxruntime",
    "pandas",  # pyarrow imports it for its first array, which takes a fork half as long as its run
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "torch.distributed.launcher.api",
    "torch.distributed.run",
    "torch.utils.tensorboard",
    "transformers.models.clip.tokenization_clip",
    "conversion_stops",
    "evaluation_processes",
    "training_kills",
    "training_ranks",
    "training_signals",
)

gc.disable()  # it is for garbage, of which this leaves none; and where it walks in a fork, memory is copied
for name in NAMES:
    import_module(name)
with tempfile.TemporaryDirectory() as folder:
    import_module("hakubooru_trainer.model.tiny").write_tiny(
        Path(folder), layers=1
    )  # what the first model takes is not taken again
gc.freeze()
gc.enable()
