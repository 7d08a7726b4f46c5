"""A check whether Triton's kernels can be used for a tensor."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def kernels(x: Tensor) -> Any:
    """The module of kernels if x lies on a GPU that can run them; None if plain operations have to be used.

    On the meta device, which has shapes and no numbers, kernels do nothing: so memory is counted as on a GPU.
    """
    if x.dtype not in {torch.bfloat16, torch.float16}:
        return None
    if x.is_meta:
        return _Nothing()
    return _of_device(x.device) if x.is_cuda else None


class _Nothing:
    """A module of kernels that do nothing."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return lambda *_, **__: None


@cache
def _of_device(device: torch.device) -> Any:
    """The module of kernels, after its smallest one was compiled and run: Triton needs a C compiler, which not every machine has."""
    if importlib.util.find_spec("triton") is None:
        return None
    module = importlib.import_module("hakubooru_trainer.lokr.kernels")
    x, y = (torch.zeros(1, 2, device=device, dtype=torch.float16) for _ in range(2))
    try:
        module.geglu[1, 1](x, y, 1, BLOCK=16)
        torch.cuda.synchronize(device)
    except Exception as error:  # noqa: BLE001 - Triton raises what its compilers raise
        warnings.warn(
            f"Triton cannot compile for this GPU ({error}); slower plain operations are used. Installing gcc often helps",
            stacklevel=2,
        )
        return None
    return module
