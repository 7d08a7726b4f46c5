"""Optimisers of packages: which are taken, which are refused, and runs with them that were stopped."""

from __future__ import annotations

import random
import shutil
import tomllib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hakubooru import settings
from hakubooru.errors import ConfigError
from hakubooru_trainer import loop, optim, trial
from hakubooru_trainer.config.learning import EmaOptions, OptimizerOptions
from hakubooru_trainer.config.options import SaveOptions, TextOptions
from tiny_runs import SMALLEST, SOME_LAYERS

pytestmark = pytest.mark.slow

FIVE = sorted((Path(__file__).parents[2] / "examples" / "optimizers").glob("*.toml"))
"""One of each kind: finds its rate, schedule-free, confidence-guided, factored, preconditioned."""


def section(name, **values):
    return OptimizerOptions(name=f"pytorch_optimizer:{name}", **values)


class Forgetful(torch.optim.SGD):
    """Keeps the number of its steps to itself."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            group["lr"] = group["base_lr"] / self.steps
        return super().step(closure)


class Shaking(torch.optim.SGD):
    """Steps to a random side."""

    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad += torch.randn_like(weight)
        return super().step(closure)


class Restless(torch.optim.SGD):
    """Steps to a side that torch's seed does not decide."""

    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad += random.random()
        return super().step(closure)


class Fading(torch.optim.SGD):
    """Changes an argument of its own."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["momentum"] *= 0.9
        return super().step(closure)


class Odd(torch.optim.SGD):
    """Has a state that JSON cannot hold."""

    def state_dict(self):
        return super().state_dict() | {"seen": {1, 2}}


@pytest.mark.parametrize("example", FIVE, ids=lambda path: path.stem)
def test_a_stopped_run_ends_with_the_bits_of_one_that_was_not(options, example):
    optimizer = settings.read(OptimizerOptions, tomllib.loads(example.read_text())["optimizer"], "optimizer")
    run = options(
        **SMALLEST,
        optimizer=optimizer,
        save=SaveOptions(every=2),
        lokr=replace(SOME_LAYERS, preset="attention"),
    )
    file = loop.run(run).file
    whole = load_file(file)
    file.unlink()
    shutil.rmtree(file.parent / "state" / "000004")
    loop.run(run)
    ours = load_file(file)
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[key], whole[key]) for key in ours)
    assert any(tensor.abs().max() > 0 for key, tensor in ours.items() if key.endswith("lokr_w2"))


def test_schedule_free_weights_are_evaluated_where_they_are_meant_to_be():
    """`eval()` moves the weights to x = y + (z - y)(1 - 1/β); afterwards they have the bits that are trained."""
    weight = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    optimizer = optim.optimizer(section("ScheduleFreeAdamW", lr=0.1), [(0.1, [weight])])
    for _ in range(3):
        weight.grad = torch.tensor([0.3, -0.1, 0.7])
        optimizer.step()
    y, z = weight.detach().clone(), optimizer.state[weight]["z"]
    with optim.evaluated(optimizer, [weight]) as differs:
        assert differs
        assert torch.allclose(weight, y + (z - y) * (1 - 1 / 0.9))
        assert not torch.equal(weight, y)
    assert torch.equal(weight, y)
    plain = optim.optimizer(OptimizerOptions(name="adamw"), [(0.1, [weight])])
    with optim.evaluated(plain, [weight]) as differs:
        assert not differs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "test_trial:Forgetful"}, "does not resume exactly: after its state was saved and loaded"),
        (
            {"name": "test_trial:Restless"},
            "or draws random numbers that torch.manual_seed does not set; use an",
        ),
        ({"name": "test_trial:Fading", "args": {"momentum": 0.9}}, "changes what optimizer.args sets"),
        ({"name": "test_trial:Odd"}, "has a state that cannot be saved"),
        ({"name": "pytorch_optimizer:SAM"}, "cannot be built|cannot make a step"),
        ({"name": "pytorch_optimizer:Prodgy"}, "has no optimiser Prodgy; did you mean 'Prodigy'"),
        ({"name": "os:system"}, "os has no optimiser system; there are none$"),
        ({"name": "no_such_package:Adam"}, "no_such_package cannot be imported .*; install its package"),
        (
            {"name": "pytorch_optimizer:Prodigy", "args": {"d_coeff": 1}},
            "has 'd_coeff', which .* did you mean 'd_coef'",
        ),
        (
            {"name": "pytorch_optimizer:Prodigy", "args": {"betas": [2, 3]}},
            "cannot be built with optimizer.args",
        ),
        (
            {"name": "adamw", "args": {"epz": 1e-6}},
            "has 'epz', which adamw does not take; did you mean 'eps'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(options, monkeypatch, values, message):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    with pytest.raises(ConfigError, match=message):
        use(options, OptimizerOptions(lr=1e-3, **values))


@pytest.mark.parametrize("name", ["test_trial:Shaking", "pytorch_optimizer:DASH"])
def test_random_numbers_of_an_optimiser_are_those_of_a_run_that_was_not_stopped(options, monkeypatch, name):
    """DASH draws some at every tenth update; the trial compares twenty after a state."""
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    trial.check(options(optimizer=OptimizerOptions(name=name, lr=1e-3)))


@pytest.mark.parametrize("name", ["torch.optim:NAdam", "pytorch_optimizer:QHAdam"])
def test_a_state_that_loading_rounds_is_refused_though_its_steps_are_too_small_to_show(options, name):
    optimizer = OptimizerOptions(name=name, lr=1e-5, text_lr=1e-5)
    trial.check(options(optimizer=optimizer))
    with pytest.raises(ConfigError, match="remembers more bits than the weights have"):
        trial.check(options(optimizer=optimizer, lokr=replace(SOME_LAYERS, masters="fp16")))


@pytest.mark.parametrize(
    ("name", "rates", "trains_text", "is_refused"),
    [
        ("Prodigy", {"text_lr": 0.25}, True, True),
        ("Prodigy", {"text_lr": 1.0, "rates": {"lora_unet_*": 0.5}}, True, True),
        ("AdaFactor", {"text_lr": 0.25}, True, True),  # by default it finds a rate for each weight
        ("Prodigy", {"text_lr": 1.0}, True, False),
        ("Prodigy", {"text_lr": 0.0, "rates": {"lora_unet_input_blocks_*": 0}}, True, False),
        ("Prodigy", {"text_lr": 0.25}, False, False),
        ("AdamW", {"text_lr": 0.25, "rates": {"lora_unet_*": 0.5}}, True, False),
    ],
)
def test_rates_that_an_optimiser_does_not_heed_are_refused(options, name, rates, trains_text, is_refused):
    run = options(optimizer=section(name, lr=1.0, **rates), text=TextOptions(train=trains_text))
    if is_refused:
        with pytest.raises(ConfigError, match="moves all layers alike, whatever their learning rates are"):
            trial.check(run)
    else:
        trial.check(run)


def use(options, optimizer):
    trial.check(options(optimizer=optimizer))
    optim.optimizer(optimizer, [(1e-3, [torch.ones(2, 2, requires_grad=True)])])


@pytest.mark.parametrize(
    ("module", "package"), [("pytorch_optimizer", "pytorch_optimizer"), ("yaml", "PyYAML")]
)
def test_the_package_of_an_optimiser_is_known_whatever_its_name(module, package):
    options = OptimizerOptions(name=f"{module}:Any")
    assert optim.package(options) == {"version.optimizer": f"{package} {version(package)}"}


def test_two_averages_are_refused(options):
    with pytest.raises(ConfigError, match=r"averages the weights itself; set ema\.decay = 0"):
        trial.check(options(optimizer=section("ScheduleFreeAdamW", lr=1e-3), ema=EmaOptions(decay=0.99)))


def test_the_size_of_a_state_is_measured():
    assert trial.state_bytes(section("Prodigy", lr=1.0)) == pytest.approx(
        16, rel=0.01
    )  # four tensors in fp32
    assert trial.state_bytes(section("AdaFactor", lr=1e-3)) == pytest.approx(
        2, rel=0.02
    )  # a mean in bf16, and factors
    assert trial.state_bytes(OptimizerOptions(name="lion")) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "lyon"}, "did you mean 'lion'.*package.module:Class"),
        ({"name": "a b:C"}, "write package.module:Class"),
        (
            {"name": "p:C", "betas": (0.9, 0.99)},
            "optimizer.betas is not given to p:C; write it in optimizer.args",
        ),
        ({"name": "lion", "args": {"betas": [0.9, 0.99]}}, "set optimizer.betas"),
        ({"name": "lion", "args": {"lr": 1}}, "set optimizer.lr"),
        ({"floor": 0.1}, "optimizer.floor has no effect"),
        ({"floor": 2.0, "schedule": "cosine"}, "from 0 to 1"),
        ({"rates": {"lora_te1_*": -1}}, "optimizer.rates.lora_te1_"),
    ],
)
def test_wrong_options_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerOptions(**values)
