"""Optimisers and learning rates."""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import ConfigError
from hakubooru.nearest import nearest
from hakubooru_trainer import randomness
from hakubooru_trainer.config.optimisers import OPTIMISERS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.config.learning import OptimizerOptions


SCHEDULES: Final[dict[str, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,  # noqa: ARG005 - it does not fall
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 + 0.5 * math.cos(math.pi * done),
}
"""The share of the learning rate by how much of the run is done, from 0 up to 1, for each schedule.

`cosine` is that of Loshchilov and Hutter, "SGDR", 2017, without restarts; `rate` adds the floor.
"""


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

    Raises:
        ConfigError: there is no such class, or it does not take these arguments.
    """
    kind = kind_of(options)
    _check_arguments(kind, options)
    try:
        result: torch.optim.Optimizer = kind(
            [{"params": list(tensors), "lr": lr, "base_lr": lr} for lr, tensors in groups if tensors],
            lr=options.lr,
            **arguments(options),
        )
    except (TypeError, ValueError, AssertionError, AttributeError, LookupError) as error:
        raise ConfigError(
            f"{options.name} cannot be built with optimizer.args = {options.args}: {error}; change optimizer.args"
        ) from error
    if hasattr(result, "train"):  # schedule-free optimisers begin where the loss is evaluated
        result.train()
    return result


def kind_of(options: OptimizerOptions) -> Any:
    """The class of an optimiser, imported.

    Raises:
        ConfigError: its package cannot be imported, or has no such class.
    """
    if not options.is_plugged:
        row = OPTIMISERS[options.name]
        own = import_module(row.module)
        if options.paged:
            return getattr(own, f"Paged{row.name}")
        kind = getattr(own, row.name)
        return _unwaiting(kind) if row.module.startswith("bitsandbytes.") else kind
    module, _, name = options.name.partition(":")
    try:
        kinds = vars(import_module(module))
    except ImportError as error:
        raise ConfigError(
            f'optimizer.name = "{options.name}": {module} cannot be imported ({error}); install its package with pip'
        ) from error
    kind = kinds.get(name)
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        others = (
            other
            for other, value in kinds.items()
            if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
        )
        raise ConfigError(
            f'optimizer.name = "{options.name}": {module} has no optimiser {name}; {nearest(name, others)}'
        )
    return kind


@cache
def _unwaiting(kind: Any) -> Any:
    """A class of bitsandbytes without its wait for the GPU after each weight: SDXL's LoKr has 2,600, and only paged state needs it."""

    @torch.no_grad()
    def step(self: Any, closure: Callable[[], float] | None = None) -> None:
        """Move the weights once."""
        del closure
        if not self.initialized:
            self.check_overrides()
            self.to_gpu()
            self.initialized = True
        for place, group in enumerate(self.param_groups):
            for number, weight in enumerate(group["params"]):
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self.init_state(group, weight, place, number)
                self.update_step(group, weight, place, number)

    return type(kind.__name__, (kind,), {"step": step})


def arguments(options: OptimizerOptions) -> dict[str, Any]:
    """The arguments of an optimiser's class beside its weights and learning rates."""
    if options.is_plugged:
        return options.args
    return {"betas": options.betas, "weight_decay": options.weight_decay, **options.args}


def load(
    optimizer: torch.optim.Optimizer,
    options: OptimizerOptions,
    state: dict[str, Any],
    args: Collection[str] = (),
) -> None:
    """Go on with the state of an optimiser. The options win over it, since --allow-change may let them differ.

    Args:
        optimizer: the optimiser, as it was built.
        options: its options.
        state: what its `state_dict` was.
        args: the names of `optimizer.args` when the state was written; those that are gone have their defaults again.
    """
    keys = {"lr", "base_lr", *args, *arguments(options)}
    chosen = [{key: group[key] for key in keys & group.keys()} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, values in zip(optimizer.param_groups, chosen, strict=True):
        group.update(values)


def package(options: OptimizerOptions) -> dict[str, str]:
    """The version of the package that a plugged optimiser comes from, for a state; nothing for our own ones."""
    if not options.is_plugged:
        return {}
    top = options.name.partition(":")[0].partition(".")[0]
    return {"version.optimizer": ", ".join(f"{name} {version(name)}" for name in _packages(top))}


def keeps_still(options: Options) -> bool:
    """Whether a plugged optimiser is kept from moving layers whose learning rate is 0."""
    section = options.optimizer
    return section.is_plugged and 0 in {*section.rates.values(), section.text_lr if options.text.train else 1}


def _packages(module: str) -> list[str]:
    """The packages that hold a module: the one of its name, or else those that a search through all finds, in a second."""
    with suppress(PackageNotFoundError):
        own = distribution(module)
        if any(file.parts[0] == module for file in own.files or ()):
            return [own.name]
    return sorted(set(packages_distributions().get(module, [])))


@contextmanager
def evaluated(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]) -> Iterator[bool]:
    """Give weights the values that their optimiser wants to be used, for the length of a block.

    A schedule-free optimiser trains at other points than it means to be evaluated at, and says so by `eval()` and `train()`.
    Afterwards the weights have their bits back, which `train()` alone would round.

    Yields:
        Whether the weights differ from those that are trained.
    """
    if not (hasattr(optimizer, "eval") and hasattr(optimizer, "train")):
        yield False
        return
    kept = [weight.detach().clone() for weight in weights]
    optimizer.eval()
    try:
        yield True
    finally:
        optimizer.train()
        with torch.no_grad():
            for weight, value in zip(weights, kept, strict=True):
                weight.copy_(value)


def step(optimizer: torch.optim.Optimizer, options: OptimizerOptions, seed: int, update: int) -> None:
    """Move the weights once; those with a base rate of 0 stay as they are.

    A plugged optimiser may draw random numbers. They follow from seed and update, so that a run that was stopped goes on with the
    same ones.

    Args:
        optimizer: the optimiser.
        options: its options.
        seed: the seed of the run.
        update: the number of the update, from 0.
    """
    if not options.is_plugged:
        optimizer.step()
        return
    torch.manual_seed(randomness.number("optimiser", seed, update) % 2**63)
    # Prodigy decays weights whose rate is 0, and AdaFactor finds a rate for them; both pass over weights without a gradient.
    groups = (group["params"] for group in optimizer.param_groups if group["base_lr"] == 0)
    still = [(weight, weight.grad) for weights in groups for weight in weights]
    for weight, _ in still:
        weight.grad = None
    optimizer.step()
    for weight, gradient in still:
        weight.grad = gradient  # a CUDA graph adds to it at its address


def rate(options: OptimizerOptions, update: int, updates: int) -> float:
    """The factor of all learning rates at an update.

    Args:
        options: schedule, floor and warm-up.
        update: the number of the update, from 0.
        updates: how many the whole run has.
    """
    warm = options.warmup // options.warmup_steps_an_update  # updates before the full rate
    if update < warm:
        return (update + 1) * options.warmup_steps_an_update / options.warmup
    done = (update - warm) / max(1, updates - warm)
    return options.floor + (1 - options.floor) * SCHEDULES[options.schedule](done)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its base rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def rates(options: Options, optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """The learning rates at an update, for the metrics; and `d` of an optimiser that estimates the distance to its aim.

    Args:
        options: the options of the run.
        optimizer: the optimiser; Prodigy and its like multiply the rates by their d.
        factor: the factor that `rate` gives.
    """
    values = {"lr": options.optimizer.lr * factor}
    if options.text.train:
        values["text_lr"] = options.optimizer.text_lr * factor
    if "d" in optimizer.param_groups[0]:
        values["d"] = float(optimizer.param_groups[0]["d"])
    return values


def _check_arguments(kind: type, options: OptimizerOptions) -> None:
    """Refuse arguments that a class does not name; many classes swallow what they do not know.

    Raises:
        ConfigError: there is such an argument.
    """
    named = {name for one in kind.__mro__[:-1] for name in signature(one).parameters}
    for name in options.args:
        if name not in named:
            others = sorted(named - {"params", "lr", "defaults", "args", "kwargs"})
            raise ConfigError(
                f"optimizer.args has {name!r}, which {options.name} does not take; {nearest(name, others)}"
            )
