"""Whether tensors hold finite numbers alone."""

from __future__ import annotations

import torch


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite.

    Looking for the least and the greatest is many times faster than asking each number.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.dtype.itemsize == 1:  # torch compares no fp8
        tensor = tensor.float()
    return bool(torch.stack(tensor.aminmax()).isfinite().all())
