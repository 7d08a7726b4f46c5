"""A check that tensors hold only finite numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite.

    It looks at the least and the greatest number, which is many times faster than testing each.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype.itemsize == 1:  # torch cannot compare fp8
        tensor = tensor.float()
    return all(math.isfinite(end) for end in tensor.aminmax())
