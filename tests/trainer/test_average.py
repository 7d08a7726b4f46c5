"""The running average of the weights beside diffusers' own, and learning rates by layer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hakubooru.errors import ConfigError
from hakubooru_trainer import optim
from hakubooru_trainer.average import Average, decay_at
from hakubooru_trainer.config.learning import EmaOptions, OptimizerOptions
from hakubooru_trainer.lokr.rates import rate_groups


def test_the_average_is_diffusers():
    from diffusers.training_utils import EMAModel

    weights = {name: torch.randn(3, 2, requires_grad=True) for name in "ab"}
    ours = Average(weights.items(), 0.6)
    theirs = EMAModel([*weights.values()], decay=0.6)
    for update in range(1, 30):
        for weight in weights.values():
            weight.data.add_(torch.randn(3, 2))
        ours.update(update)
        theirs.optimization_step = update  # its own count of updates begins one later
        theirs.step([*weights.values()])
        assert theirs.cur_decay_value == decay_at(0.6, update)
    for one, other in zip(ours.values.values(), theirs.shadow_params, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_average_by_hand():
    weight = torch.tensor([0.0])
    average, value = Average([("a", weight)], 0.5), 0.0
    for update, target in enumerate([1.0, 4.0, 2.0, 8.0, 16.0, 3.0, 5.0, 7.0, 9.0, 11.0, 2.0]):
        weight.fill_(target)
        average.update(update)
        decay = min(0.5, (1 + update) / (10 + update))
        value = decay * value + (1 - decay) * target
        assert float(average.values["a"]) == pytest.approx(value)
    assert not Average([("a", weight)], 0.0).values
    with pytest.raises(ConfigError, match=r"ema\.decay is 1"):
        EmaOptions(decay=1.0)


def adapter(*names):
    parts = {"lora_unet": "unet", "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2"}
    return SimpleNamespace(
        targets=[SimpleNamespace(name=name, part=parts[name[:9]]) for name in names],
        modules={name: torch.nn.Linear(1, 1) for name in names},
    )


NAMES = (
    "lora_unet_input_blocks_1",
    "lora_te1_q",
    "lora_unet_out_2",
    "lora_te2_q",
    "lora_unet_input_blocks_2",
)


def test_layers_have_the_rate_of_the_first_pattern_that_matches():
    options = OptimizerOptions(
        lr=1e-3, text_lr=1e-4, rates={"lora_unet_input_*_2": 0, "lora_unet_input_*": 0.5, "lora_te1_*": 2}
    )
    own = adapter(*NAMES)
    rates = {id(tensor): rate for rate, tensors in rate_groups(own, options) for tensor in tensors}
    by_layer = {name: {rates[id(tensor)] for tensor in own.modules[name].parameters()} for name in NAMES}
    assert by_layer == {
        "lora_unet_input_blocks_1": {5e-4},
        "lora_te1_q": {2e-4},
        "lora_unet_out_2": {1e-3},
        "lora_te2_q": {1e-4},
        "lora_unet_input_blocks_2": {0},
    }
    optimizer = optim.optimizer(options, rate_groups(own, options))
    optim.set_rate(optimizer, 0.1)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx(
        [0, 1e-5, 2e-5, 5e-5, 1e-4]
    )


def test_without_patterns_there_are_the_two_groups():
    own = adapter(*NAMES)
    groups = rate_groups(own, OptimizerOptions(lr=1e-3, text_lr=1e-4))
    assert [(rate, len(tensors)) for rate, tensors in groups] == [(1e-3, 6), (1e-4, 4)]


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"'lora_unet_inn.', which matches no layer; "):
        rate_groups(adapter(*NAMES), OptimizerOptions(rates={"lora_unet_inn*": 1.0}))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_floor_is_where_the_rate_ends(schedule):
    """torch's own schedules with a least rate."""
    options = OptimizerOptions(lr=1e-3, schedule=schedule, floor=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    theirs = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=1e-4),
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 50),
    }[schedule]()
    for update in range(50):
        assert 1e-3 * optim.rate(options, update, 50) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert optim.rate(options, 49, 50) > 0.1
