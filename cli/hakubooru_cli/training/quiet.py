"""Silencing remarks of other libraries that no user can act on."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Final

_LOGGERS: Final = ("bitsandbytes", "diffusers", "transformers", "huggingface_hub", "accelerate", "LyCORIS")
_PACKAGES: Final = r"(bitsandbytes|diffusers|transformers|huggingface_hub|accelerate|lycoris)\b"


def quiet() -> None:
    """Silence the remarks of libraries on kernels, progress and defaults that do not matter here.

    Call this before the libraries are imported: diffusers and transformers set the level of their loggers on import,
    from the environment.
    """
    for name in ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    for name in ("TRANSFORMERS_NO_ADVISORY_WARNINGS", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=_PACKAGES)
