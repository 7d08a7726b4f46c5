"""Optimisers and learning rates."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from hakubooru_trainer.config.optimisers import OPTIMISERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from hakubooru_trainer.config.options import OptimizerOptions


class Lion(torch.optim.Optimizer):
    """Lion: the sign of an interpolation of gradient and running average (Chen et al., 2023, algorithm 2).

    Args:
        params: tensors, or groups of them.
        lr: the learning rate; about a tenth of AdamW's.
        betas: the weights of the old value in the interpolation and in the running average.
        weight_decay: the decoupled weight decay, which the learning rate multiplies.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the weights once."""
        del closure
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["exp_avg"] = torch.zeros_like(weight)
                average = state["exp_avg"]
                direction = torch.lerp(weight.grad, average, beta1).sign_()
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                average.lerp_(weight.grad, 1 - beta2)


class Scaler(torch.amp.GradScaler):
    """A scaler of the loss that scales also the gradients of fp16 weights back, in fp16, as sd-scripts does."""

    def _unscale_grads_(
        self, optimizer: torch.optim.Optimizer, inv_scale: Tensor, found_inf: Tensor, _: bool
    ) -> dict[torch.device, Tensor]:
        return super()._unscale_grads_(optimizer, inv_scale, found_inf, True)  # noqa: FBT003 - allow_fp16


def optimizer(
    options: OptimizerOptions, groups: Sequence[tuple[float, Sequence[Tensor]]]
) -> torch.optim.Optimizer:
    """Build an optimiser.

    Args:
        options: the section `[optimizer]`.
        groups: base learning rates with their tensors; groups without tensors are ignored.
    """
    row = OPTIMISERS[options.name]
    kind = getattr(import_module(row.module), row.name)
    result: torch.optim.Optimizer = kind(
        [{"params": list(tensors), "lr": lr, "base_lr": lr} for lr, tensors in groups if tensors],
        lr=options.lr,
        betas=options.betas,
        weight_decay=options.weight_decay,
    )
    return result


def rate(options: OptimizerOptions, update: int, updates: int) -> float:
    """The factor of all learning rates at an update.

    Args:
        options: schedule and warm-up.
        update: the number of the update, from 0.
        updates: how many the whole run has.
    """
    warm = options.warmup // options.warmup_steps_an_update  # updates before the full rate
    if update < warm:
        return (update + 1) * options.warmup_steps_an_update / options.warmup
    done = (update - warm) / max(1, updates - warm)
    match options.schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - done
        case "cosine":
            return 0.5 + 0.5 * math.cos(math.pi * done)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its base rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
