"""Distributions of timesteps: each against its own definition."""

from __future__ import annotations

import math
import re
from statistics import NormalDist

import pytest

from hakubooru.errors import ConfigError
from hakubooru_trainer import randomness
from hakubooru_trainer.config.learning import LossOptions
from hakubooru_trainer.timesteps import logit_normal, shifted, timestep

NUMBERS = [randomness.number("t", number) for number in range(4000)]


def share_below(options, limit):
    return sum(timestep(options, number) < limit for number in NUMBERS) / len(NUMBERS)


@pytest.mark.parametrize("limit", [100, 250, 500, 750, 900])
def test_draws_follow_the_distributions(limit):
    """Their shares below a limit are the distribution functions, up to four deviations of 4,000 draws."""
    slack, x = 4 * math.sqrt(0.25 / len(NUMBERS)), limit / 1000
    logit = math.log(x / (1 - x))
    normal = LossOptions(timesteps="logit_normal", timestep_mean=-0.5, timestep_deviation=0.8)
    assert share_below(normal, limit) == pytest.approx(NormalDist(-0.5, 0.8).cdf(logit), abs=slack)
    shift = LossOptions(timesteps="shifted", timestep_shift=3.0)
    assert share_below(shift, limit) == pytest.approx(x / (3 - 2 * x), abs=slack)
    assert share_below(LossOptions(), limit) == pytest.approx(x, abs=slack)


def test_quantiles_of_the_middle():
    assert logit_normal(0.5, 0.0, 1.0) == 0.5
    assert logit_normal(NormalDist().cdf(1), 0.0, 1.0) == pytest.approx(1 / (1 + math.exp(-1)))
    assert shifted(0.5, 3.0) == 0.75
    assert shifted(0.3, 1.0) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "settings",
    [
        {"timesteps": "uniform"},
        {"timesteps": "shifted", "timestep_shift": 4.0},
        {"timesteps": "logit_normal", "timestep_deviation": 4.0},
        {"timesteps": "logit_normal", "timestep_deviation": 1e6},
        {"timesteps": "logit_normal", "timestep_deviation": 1e308, "timestep_mean": -1e308},
    ],
)
def test_none_leaves_its_range(settings):
    options = LossOptions(**settings, min_timestep=200, max_timestep=300)
    steps = [timestep(options, number) for number in (0, 2**128 - 1, *NUMBERS)]
    assert min(steps) == 200
    assert max(steps) == 299


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("timestep_deviation", 0.0, {"timesteps": "logit_normal"}),
        ("timestep_shift", -1.0, {"timesteps": "shifted"}),
        ("huber_c", 2.0, {"kind": "huber"}),
        ("pyramid_discount", 0.0, {"pyramid_levels": 6}),
        ("noise_offset", -1.0, {}),
    ],
)
def test_wrong_numbers_are_refused(name, value, needed):
    with pytest.raises(ConfigError, match=rf"loss\.{name} (is|=) "):
        LossOptions(**{name: value}, **needed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"huber_c": 0.2},
            'huber_c has no effect while loss.kind is "l2"; set loss.kind = "huber", or remove loss.h',
        ),
        ({"huber_schedule": "constant"}, "huber_schedule has no effect"),
        (
            {"pyramid_discount": 0.5},
            "has no effect while loss.pyramid_levels is 0; set loss.pyramid_levels = 6",
        ),
        ({"timestep_mean": 0.5, "timesteps": "shifted"}, 'has no effect while loss.timesteps is "shifted"'),
        ({"timestep_deviation": 2.0}, 'has no effect while loss.timesteps is "uniform"'),
        ({"timestep_shift": 2.0, "timesteps": "logit_normal"}, 'set loss.timesteps = "shifted"'),
        ({"debiased_v": "kohya"}, "has no effect while loss.debiased is false; set loss.debiased = true"),
    ],
)
def test_what_has_no_effect_is_refused(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        LossOptions(**settings)
