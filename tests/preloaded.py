"""Imports all that takes long to import, once: the forks of a process that has imported this begin with it."""

import gc
from importlib import import_module

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
    "torch.utils.tensorboard",
    "transformers.models.clip.tokenization_clip",
    "conversion_stops",
    "evaluation_processes",
    "training_kills",
    "training_ranks",
    "training_signals",
)

# Tests that fork are of the xdist_group "forks", for one worker to do all this.
gc.disable()  # it is for garbage, of which this leaves none; and where it walks in a fork, memory is copied
for name in NAMES:
    import_module(name)
gc.freeze()
gc.enable()
