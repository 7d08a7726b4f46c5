"""Samplers beside diffusers' schedulers, with one model and the same noise."""

from __future__ import annotations

import pytest
import torch

from hakubooru_trainer import noise
from hakubooru_trainer.samplers import SAMPLERS, Step, split

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers'

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
ROUND = 8
"""A number of steps that divides 1000: diffusers rounds the way down to whole steps."""


def model(noisy):
    return torch.sin(noisy * 3) / 2 + noisy / 3


def ours(name, latents, draws, *, prediction, zero=False, steps=ROUND):
    """All latents on the way."""
    alphas, some = noise.alphas_cumprod(zero_terminal_snr=zero), iter(draws)
    timesteps, history, way = noise.sampling_timesteps(steps), [], []
    for timestep, next_alpha in zip(
        timesteps, [*alphas[timesteps[1:]], torch.tensor(1.0).double()], strict=True
    ):
        clean, rest = split(latents, model(latents), alphas[timestep], prediction)
        history.append(Step(latents, clean, rest, alphas[timestep], next_alpha))
        latents = SAMPLERS[name](history, lambda: next(some))
        way.append(latents)
    return way


@pytest.mark.parametrize(("prediction", "zero"), [("epsilon", False), ("v", False), ("v", True)])
def test_ddim_is_diffusers(prediction, zero):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        **SCHEDULE, timestep_spacing="trailing", clip_sample=False, rescale_betas_zero_snr=zero,
        prediction_type="epsilon" if prediction == "epsilon" else "v_prediction",
    )  # fmt: skip
    scheduler.set_timesteps(ROUND)
    theirs = torch.randn(1, 4, 8, 8)
    way = ours("ddim", theirs, [], prediction=prediction, zero=zero)
    assert scheduler.timesteps.tolist() == noise.sampling_timesteps(ROUND)
    for timestep, mine in zip(scheduler.timesteps.tolist()[:-1], way, strict=False):
        theirs = scheduler.step(model(theirs), timestep, theirs).prev_sample
        assert torch.allclose(mine, theirs, atol=1e-3)


@pytest.mark.parametrize(("prediction", "zero"), [("epsilon", False), ("v", False), ("v", True)])
def test_dpmpp_2m_is_diffusers(prediction, zero):
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        **SCHEDULE, timestep_spacing="trailing", algorithm_type="dpmsolver++", solver_order=2,
        final_sigmas_type="zero", rescale_betas_zero_snr=zero,
        prediction_type="epsilon" if prediction == "epsilon" else "v_prediction",
    )  # fmt: skip
    scheduler.set_timesteps(ROUND)
    theirs = torch.randn(1, 4, 8, 8)
    way = ours("dpmpp_2m", theirs, [], prediction=prediction, zero=zero)
    assert scheduler.timesteps.tolist() == noise.sampling_timesteps(ROUND)
    for timestep, mine in zip(scheduler.timesteps, way, strict=True):
        theirs = scheduler.step(model(theirs), timestep, theirs).prev_sample
        assert torch.allclose(
            mine, theirs, atol=5e-3
        )  # diffusers' end of a schedule to pure noise is 2 ** -24
    assert torch.isfinite(way[-1]).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_euler_a_is_diffusers(prediction, monkeypatch):
    """diffusers keeps latents as x / √ᾱ; both get the same fresh noise."""
    from diffusers import EulerAncestralDiscreteScheduler
    from diffusers.schedulers import scheduling_euler_ancestral_discrete as module

    scheduler = EulerAncestralDiscreteScheduler(
        **SCHEDULE, timestep_spacing="trailing",
        prediction_type="epsilon" if prediction == "epsilon" else "v_prediction",
    )  # fmt: skip
    scheduler.set_timesteps(ROUND)
    draws = [*torch.randn(ROUND, 1, 4, 8, 8)]
    start = torch.randn(1, 4, 8, 8)
    way = ours("euler_a", start, draws, prediction=prediction)
    some = iter(draws)
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(some))
    theirs = start * (scheduler.sigmas[0] ** 2 + 1) ** 0.5
    for place, timestep in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(theirs, timestep)
        theirs = scheduler.step(model(scaled), timestep, theirs).prev_sample
        assert torch.allclose(way[place], theirs / (scheduler.sigmas[place + 1] ** 2 + 1) ** 0.5, atol=2e-3)


def test_euler_a_begins_with_pure_noise():
    way = ours(
        "euler_a", torch.randn(1, 4, 8, 8), torch.randn(9, 1, 4, 8, 8), prediction="v", zero=True, steps=7
    )
    assert all(torch.isfinite(latents).all() for latents in way)


def test_a_perfect_model_is_found_by_each_sampler():
    """A model that knows the picture: whatever the way, its end is the picture."""
    picture = torch.randn(1, 4, 8, 8)
    alphas, timesteps = noise.alphas_cumprod(), noise.sampling_timesteps(5)
    for sampler in SAMPLERS.values():
        latents, history = torch.randn(1, 4, 8, 8), []
        for timestep, next_alpha in zip(
            timesteps, [*alphas[timesteps[1:]], torch.tensor(1.0).double()], strict=True
        ):
            now = alphas[timestep]
            rest = (latents - now.sqrt().float() * picture) / (1 - now).sqrt().float()
            history.append(Step(latents, picture, rest, now, next_alpha))
            latents = sampler(history, lambda: torch.randn(1, 4, 8, 8))
        assert torch.allclose(latents, picture, atol=1e-5)
