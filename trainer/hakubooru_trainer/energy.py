"""The energy that NVIDIA's GPUs have used, as their driver counts it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch


def joules(cards: int) -> float | None:
    """The energy that the first cards of this process have used since their driver was loaded; None if it cannot be read.

    Args:
        cards: how many of the GPUs that torch sees are meant.
    """
    library = _library()
    if library is None or not torch.cuda.is_available():
        return None
    total = 0.0
    for number in range(min(cards, torch.cuda.device_count())):
        identity = f"GPU-{torch.cuda.get_device_properties(number).uuid}".encode()
        handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        if library.nvmlDeviceGetHandleByUUID(identity, ctypes.byref(handle)):
            return None
        if library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
            return None  # cards before Volta do not count it
        total += millijoules.value / 1000
    return total


@cache
def _library() -> Any:
    """The driver's library NVML, ready for use; None without NVIDIA's driver."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library
