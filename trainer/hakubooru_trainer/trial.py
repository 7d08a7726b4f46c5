"""A trial of a plugged optimiser before a run: on small tensors, whether it heeds learning rates and resumes bit for bit, and its size.

An optimiser of a package may keep numbers outside of its `state_dict`, or draw random ones that do not follow from the run's seed.
A run with it would end with other weights after a kill, and nobody would notice. So it is tried: some updates in one go, and the
same updates with a state in between that is written and read as in a run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import torch

from hakubooru.errors import ConfigError
from hakubooru_trainer import durable, optim
from hakubooru_trainer.config.optimisers import OPTIMISERS
from hakubooru_trainer.lokr.file import DTYPES

if TYPE_CHECKING:
    from torch import Tensor

    from hakubooru_trainer.config import Options
    from hakubooru_trainer.config.learning import OptimizerOptions

_SHAPES: Final = ((8, 8), (24, 16), (16, 8, 3, 3), (12,), (8, 8))
"""Shapes as an adapter has them: w1, w2 of a linear layer and of a convolution, a norm, and w1 of a layer that may have a rate of 0."""
_BEFORE: Final = 3
"""Updates before the state."""
_AFTER: Final = 20
"""Updates after it; optimisers that work with preconditioners look at them every ten or sixteen updates."""
_SIDE: Final = 512
"""The side of the matrix that the size of the state is measured with."""


def check(options: Options) -> None:
    """Refuse a plugged optimiser that does not resume exactly, or cannot be used in a run.

    Raises:
        ConfigError: it cannot be built, its step fails, its state loses something, it takes one learning rate for all where the
            options have several, or it clashes with another option.
    """
    settings = options.optimizer
    if not settings.is_plugged:
        return
    dtype = DTYPES[options.lokr.masters]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = _weights(dtype)
        optimizer = _optimizer(settings, whole)
        if options.ema.decay and hasattr(optimizer, "eval"):
            raise ConfigError(
                f'optimizer.name = "{settings.name}" averages the weights itself; set ema.decay = 0, or use another optimiser'
            )
        _step(settings, optimizer, whole, 0)
        half = [weight.detach().clone().requires_grad_() for weight in whole]
        state = _through_files(settings, optimizer.state_dict())
        _step(settings, optimizer, whole, _BEFORE)
        torch.manual_seed(1)  # a process that resumes has another generator
        again = _optimizer(settings, half)
        optim.load(again, settings, state)
        _step(settings, again, half, _BEFORE)
        if len(_rates(options)) > 1 and _moves_all_alike(settings):
            raise ConfigError(
                f'optimizer.name = "{settings.name}" moves all layers alike, whatever their learning rates are: optimizer.text_lr and '
                "optimizer.rates have no effect; set text_lr = lr, or 0, and leave no other factors than 0 in rates. A run that was begun "
                "so goes on as it was with --allow-change optimizer.text_lr; with --allow-change optimizer.rates its optimiser begins anew"
            )
    are_equal = all(torch.equal(one, other) for one, other in zip(whole, half, strict=True))
    # A small step leaves fp16 weights as they are, whatever the optimiser remembers: so its state must agree too.
    if not are_equal or not _same(optimizer.state_dict(), again.state_dict()):
        raise ConfigError(
            f'optimizer.name = "{settings.name}" does not resume exactly: after its state was saved and loaded, it goes on '
            "otherwise. It keeps something outside of its state_dict, changes what optimizer.args sets, remembers more bits than the weights have, which torch "
            "rounds away, or draws random numbers that torch.manual_seed does not set; use another optimiser"
        )


def _rates(options: Options) -> set[float]:
    """The learning rates of a run's layers, but for 0."""
    settings = options.optimizer
    of_parts = (settings.lr, settings.text_lr) if options.text.train else (settings.lr,)
    return {rate * factor for rate in of_parts for factor in (1.0, *settings.rates.values())} - {0.0}


def _moves_all_alike(settings: OptimizerOptions) -> bool:
    """Whether weights move equally far at half their learning rate, if other weights have the whole one."""
    ends = []
    for rate in (settings.lr, settings.lr / 2):
        torch.manual_seed(0)
        weights = _weights(torch.float32)
        before = [weight.detach().clone() for weight in weights]
        optimizer = optim.optimizer(settings, [(settings.lr, weights[:2]), (rate, weights[2:])])
        _step(settings, optimizer, weights, _BEFORE)
        ends.append(weights[2:])
    have_moved = not all(torch.equal(*pair) for pair in zip(before[2:], ends[0], strict=True))
    return have_moved and all(torch.equal(*pair) for pair in zip(*ends, strict=True))


def state_bytes(options: OptimizerOptions) -> float:
    """The bytes that an optimiser remembers for each trained number; of a plugged one, measured on a large matrix."""
    if not options.is_plugged:
        return OPTIMISERS[options.name].state_bytes
    weight = torch.ones(_SIDE, _SIDE, requires_grad=True)
    optimizer = _optimizer(options, [weight])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    _, tensors = durable.take_tensors(optimizer.state_dict())
    return sum(tensor.nbytes for tensor in tensors.values()) / weight.numel()


def unlike(options: OptimizerOptions, args: dict[str, Any], device: torch.device) -> list[str]:
    """`optimizer.args`, if an optimiser with them remembers something that one with other arguments does not, such as for amsgrad.

    Args:
        options: the options of the optimiser.
        args: the other arguments, as they come back from JSON.
        device: the device to try both on.
    """
    if json.loads(json.dumps(options.args)) == args:
        return []
    now, then = _memory(options, device), _memory(replace(options, args=args), device)
    return ["optimizer.args"] if now - then else []


def _memory(options: OptimizerOptions, device: torch.device) -> set[tuple[str, Any]]:
    """The names of what an optimiser remembers of a weight, with the shapes of tensors."""
    with torch.random.fork_rng(devices=[]):
        weight = torch.ones(_SIDE, _SIDE, device=device, requires_grad=True)
        optimizer = optim.optimizer(options, [(options.lr, [weight])])
        weight.grad = torch.ones_like(weight)
        optim.step(optimizer, options, 0, 0)
        return {(name, getattr(value, "shape", None)) for name, value in optimizer.state[weight].items()}


def _weights(dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(shape, dtype=dtype).requires_grad_() for shape in _SHAPES]


def _optimizer(options: OptimizerOptions, weights: list[Tensor]) -> torch.optim.Optimizer:
    groups = [(options.lr, weights[:2]), (options.text_lr or options.lr, weights[2:4])]
    if 0 in {options.text_lr, *options.rates.values()}:
        groups.append((0.0, weights[4:]))
    return optim.optimizer(options, groups)


def _step(
    options: OptimizerOptions, optimizer: torch.optim.Optimizer, weights: list[Tensor], first: int
) -> None:
    """Make some updates, whose gradients follow from their numbers."""
    for number in range(first, first + (_AFTER if first else _BEFORE)):
        draw = torch.Generator().manual_seed(number)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=draw).to(weight.dtype)
        optim.set_rate(
            optimizer, 1.0
        )  # as before each update: what an optimiser makes of its rate does not stay
        try:
            optim.step(optimizer, options, 0, number)
        except Exception as error:
            raise ConfigError(
                f'optimizer.name = "{options.name}" cannot make a step here ({error}); use another optimiser, or change optimizer.args'
            ) from error


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two states have the same tensors, of the same types."""
    (_, first), (_, second) = durable.take_tensors(one), durable.take_tensors(other)
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(tensor, second[name])
        for name, tensor in first.items()
    )


def _through_files(options: OptimizerOptions, state: dict[str, Any]) -> Any:
    """A state as it comes back from its files.

    Raises:
        ConfigError: it holds something that is neither a tensor nor a plain value.
    """
    rest, tensors = durable.take_tensors(state)
    try:
        text = json.dumps(rest)
    except TypeError as error:
        raise ConfigError(
            f'optimizer.name = "{options.name}" has a state that cannot be saved ({error}); use another optimiser'
        ) from error
    read = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    return durable.give_tensors(json.loads(text), read)
