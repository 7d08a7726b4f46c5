"""Kernels that give the same bits at every run, which exact resuming needs on a GPU."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from hakubooru.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru_trainer.config.options import RunOptions


@contextmanager
def deterministic(options: RunOptions, device: torch.device) -> Iterator[None]:
    """Use only kernels that give the same bits at every run, for the length of a block, if `run.deterministic` says so.

    On a CPU all kernels of a run are of that kind already. On a GPU some add numbers in the order in which threads finish, among
    them the gradients of cuDNN's attention.

    Args:
        options: the section `[run]`.
        device: the device that it computes on.

    Raises:
        TrainingError: an operation has no such kernel.
    """
    if device.type != "cuda" or not options.deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses matrix products
    memory: Any = torch.utils.deterministic
    before, fills = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(mode=True)
    memory.fill_uninitialized_memory = False  # nothing here reads what it has not written
    try:
        yield
    except RuntimeError as error:
        operation, lacks, _ = str(error).partition(" does not have a deterministic implementation")
        if not lacks:
            raise
        raise TrainingError(
            f"{operation} has no kernel that gives the same bits at every run; set run.deterministic = false: "
            "then a resumed run ends with other bits than one that was never stopped"
        ) from error
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fills
