"""Other libraries' remarks that no user can act on."""

from __future__ import annotations

import logging


def quiet() -> None:
    """Keep libraries from remarking on kernels, progress and defaults that play no part here."""
    for name in ("bitsandbytes", "diffusers", "transformers", "LyCORIS"):
        logging.getLogger(name).setLevel(logging.ERROR)
