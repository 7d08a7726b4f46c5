"""The optimisers to choose from: a row each, which the configuration, the plan and the run read."""

from __future__ import annotations

from typing import Final, NamedTuple


class Optimiser(NamedTuple):
    """An optimiser with the arguments lr, betas and weight_decay, imported when a run needs it."""

    module: str
    """The module that has it."""
    name: str
    """The name of its class."""
    state_bytes: int
    """The bytes that it remembers for each trained number."""


OPTIMISERS: Final[dict[str, Optimiser]] = {
    "lion8bit": Optimiser("bitsandbytes.optim.lion", "Lion8bit", 1),
    "adamw8bit": Optimiser("bitsandbytes.optim.adamw", "AdamW8bit", 2),
    "lion": Optimiser("hakubooru_trainer.optim", "Lion", 4),
    "adamw": Optimiser("torch.optim", "AdamW", 8),
}
"""The optimisers by their names in a configuration."""
