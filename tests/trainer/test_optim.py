"""Learning rates, Lion, and what becomes of gradients in half precision."""

from __future__ import annotations

import math

import pytest
import torch

from hakubooru_trainer import optim
from hakubooru_trainer.config.optimisers import OPTIMISERS
from hakubooru_trainer.config.options import OptimizerOptions

pytestmark = pytest.mark.slow


def rates(updates, **keywords):
    options = OptimizerOptions(**keywords)
    return [optim.rate(options, update, updates) for update in range(updates)]


def test_the_warm_up_counts_updates():
    factors = rates(1200, warmup=1000)
    assert factors[:3] == pytest.approx([0.001, 0.002, 0.003])
    assert factors[998] < factors[999] == 1
    assert set(factors[1000:]) == {1.0}


def test_the_originals_warm_up_counted_each_card():
    """transformers' schedule, stepped by Accelerate once for each of four processes; ours does not waste the first update at 0."""
    from transformers import get_constant_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
    schedule, theirs = get_constant_schedule_with_warmup(optimizer, 1000), []
    for _ in range(300):
        optimizer.step()
        theirs.append(optimizer.param_groups[0]["lr"])
        for _ in range(4):
            schedule.step()
    factors = rates(299, warmup=1000, warmup_steps_an_update=4)
    assert factors == pytest.approx(theirs[1:])
    assert factors[248] < factors[249] == 1


@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (10, 1), (10, 4), (3, 4)])
def test_schedules_end_at_zero_and_never_leave_the_range(warmup, steps):
    for schedule in ("cosine", "linear"):
        factors = rates(50, warmup=warmup, warmup_steps_an_update=steps, schedule=schedule)
        top = factors.index(max(factors))
        assert max(factors) == 1
        assert factors[top:] == sorted(factors[top:], reverse=True)
        assert factors[:top] == sorted(factors[:top])
        assert 0 < factors[-1] < 0.03
    warm = warmup // steps
    assert rates(50, warmup=warmup, warmup_steps_an_update=steps, schedule="cosine")[30] == pytest.approx(
        (1 + math.cos(math.pi * (30 - warm) / (50 - warm))) / 2
    )


def test_lion_is_the_papers():
    """Algorithm 2, number by number in float64."""
    draw = torch.Generator().manual_seed(5)
    weight = torch.randn(7, dtype=torch.float64, generator=draw)
    expected, average = weight.tolist(), [0.0] * 7
    optimizer = optim.Lion([weight], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    for _ in range(20):
        weight.grad = torch.randn(7, dtype=torch.float64, generator=draw)
        for place, gradient in enumerate(weight.grad.tolist()):
            step = math.copysign(1, 0.9 * average[place] + 0.1 * gradient)
            expected[place] -= 0.01 * (step + 0.1 * expected[place])
            average[place] = 0.95 * average[place] + 0.05 * gradient
        optimizer.step()
    assert weight.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_scaler_gives_gradients_back_and_lets_none_pass_that_is_not_finite(dtype):
    weight = torch.ones(3, dtype=dtype, requires_grad=True)
    optimizer = optim.Lion([weight], lr=0.5)
    scaler = optim.Scaler("cpu", init_scale=1024)
    for factor in (2.0, math.inf):
        scaler.scale((weight * torch.tensor([factor, 1, 1], dtype=dtype)).sum()).backward()
        scaler.unscale_(optimizer)
        if math.isfinite(factor):
            assert weight.grad.tolist() == [2, 1, 1]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert weight.tolist() == [0.5, 0.5, 0.5]
    assert scaler.get_scale() == 512


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_optimiser_remembers_as_much_as_plans_count(name):
    weight = torch.ones(1 << 16, requires_grad=True)
    optimizer = optim.optimizer(OptimizerOptions(name=name), [(1e-2, [weight]), (1e-2, [])])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert weight.max() < 1
    state = (value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor))
    assert sum(value.nbytes for value in state) / weight.numel() == pytest.approx(
        OPTIMISERS[name].state_bytes, rel=0.05
    )


@pytest.mark.parametrize("name", ["Lion8bit", "AdamW8bit"])
def test_bitsandbytes_moves_weights_alike_without_its_waits(name, monkeypatch):
    from bitsandbytes import optim as theirs

    waits = []
    monkeypatch.setattr("bitsandbytes.optim.optimizer.sync_gpu", waits.append)
    draw = torch.Generator().manual_seed(6)
    start = [
        torch.randn(size, generator=draw) for size in (5000, 4096, 300)
    ]  # under 4,096 the state has 32 bits
    gradients = [[torch.randn(weight.shape, generator=draw) for weight in start] for _ in range(4)]

    def train_with(kind):
        weights = [weight.clone().requires_grad_() for weight in start]
        optimizer = kind([{"params": weights[:2]}, {"params": weights[2:], "lr": 1e-3}], lr=1e-2)
        for some in gradients:
            for weight, gradient in zip(weights, some, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        return torch.cat([*weights, *(optimizer.state[weight]["state1"] for weight in weights)])

    expected = train_with(getattr(theirs, name))
    assert len(waits) == len(gradients) * len(start)
    waits.clear()
    assert torch.equal(train_with(optim.kind_of(OptimizerOptions(name=name.lower()))), expected)
    assert not waits


@pytest.mark.parametrize("name", ["AdaFactor", "Prodigy", "DAdaptLion", "SRMM"])
def test_layers_without_a_rate_stay_as_they_are(name):
    """These move such layers by themselves: they decay them, or find a rate of their own."""
    options = OptimizerOptions(name=f"pytorch_optimizer:{name}", lr=1.0, rates={"lora_te1_*": 0})
    free, still = (torch.full((8, 8), 0.5).requires_grad_() for _ in range(2))
    optimizer = optim.optimizer(options, [(1.0, [free]), (0.0, [still])])
    gradient = torch.ones(8, 8)
    for update in range(3):
        optim.set_rate(optimizer, 1.0)
        free.grad, still.grad = torch.ones(8, 8), gradient
        optim.step(optimizer, options, 0, update)
    assert not free.equal(torch.full((8, 8), 0.5))
    assert still.equal(torch.full((8, 8), 0.5))
    assert still.grad is gradient
