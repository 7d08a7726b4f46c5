"""Schedule and loss weights against the definitions, and diffusers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hakubooru_trainer import noise


def test_the_schedule_is_diffusers(recwarn):
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    assert torch.allclose(noise.alphas_cumprod(), theirs.double(), atol=1e-6)


def test_zero_terminal_snr_is_diffusers():
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True
    ).alphas_cumprod
    ours = noise.alphas_cumprod(zero_terminal_snr=True)
    assert torch.allclose(ours, theirs.double(), atol=1e-5)
    assert ours[-1] == 0
    assert torch.isclose(ours[0], noise.alphas_cumprod()[0])


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_noise_and_target_are_diffusers(prediction):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    generator = torch.Generator().manual_seed(1)
    latents, drawn = torch.randn(2, 3, 4, 8, 8, generator=generator)
    steps, alphas = torch.tensor([3, 500, 999]), noise.alphas_cumprod()
    noisy = noise.add_noise(latents, drawn, alphas, steps)
    assert torch.allclose(noisy, scheduler.add_noise(latents, drawn, steps), atol=1e-5)
    wanted = drawn if prediction == "epsilon" else scheduler.get_velocity(latents, drawn, steps)
    assert torch.allclose(noise.target(latents, drawn, alphas, steps, prediction), wanted, atol=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_min_snr_is_the_papers(gamma, zero_terminal_snr):
    alphas = noise.alphas_cumprod(zero_terminal_snr=zero_terminal_snr)
    ratio = noise.snr(alphas, torch.arange(1000))
    plain = [float(a) / (1 - float(a)) for a in alphas]
    v = [min(r, gamma) / (r + 1) for r in plain]
    epsilon = [min(r, gamma) / r if r else 1.0 for r in plain]
    np.testing.assert_allclose(noise.min_snr_weight(ratio, gamma, "v"), v, rtol=1e-12)
    np.testing.assert_allclose(noise.min_snr_weight(ratio, gamma, "epsilon"), epsilon, rtol=1e-12)


def test_debiased_is_the_papers():
    ratio = noise.snr(noise.alphas_cumprod(), torch.arange(1000))
    np.testing.assert_allclose(
        noise.debiased_weight(ratio), [1 / min(r, 1000) ** 0.5 for r in ratio.tolist()]
    )


def test_kohyas_way_to_debias_v_is_sd_scripts():
    """Their weight is written down here by scalars."""
    ratio = noise.snr(noise.alphas_cumprod(zero_terminal_snr=True), torch.tensor([0, 1, 400, 998, 999]))
    theirs = [1 / (1000 + 1) if r > 1000 else 1 / (r + 1) for r in ratio.tolist()]
    assert theirs[-1] == 1  # there is no signal, and yet the weight is finite
    assert torch.allclose(noise.kohya_debiased_v_weight(ratio), torch.tensor(theirs, dtype=torch.float64))


def test_offset_is_one_number_a_channel():
    draws = torch.randn(2, 4, 1, 1)
    plain = torch.randn(2, 4, 8, 8)
    added = noise.offset_noise(plain, draws, 0.0357) - plain
    assert torch.allclose(added, (0.0357 * draws).expand_as(plain), atol=1e-6)


def test_losses_are_of_each_image():
    one, other = torch.zeros(2, 4, 2, 2), torch.stack([torch.ones(4, 2, 2), torch.full((4, 2, 2), 3.0)])
    assert noise.losses(one, other).tolist() == [1, 9]
