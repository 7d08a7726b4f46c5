"""Schedule and loss weights against the definitions, and diffusers' own."""

from __future__ import annotations

import math

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
    latents, draws = torch.randn(2, 3, 4, 8, 8, generator=generator)
    steps, alphas = torch.tensor([3, 500, 999]), noise.alphas_cumprod()
    noisy = noise.add_noise(latents, draws, alphas, steps)
    assert torch.allclose(noisy, scheduler.add_noise(latents, draws, steps), atol=1e-5)
    expected = draws if prediction == "epsilon" else scheduler.get_velocity(latents, draws, steps)
    assert torch.allclose(noise.target(latents, draws, alphas, steps, prediction), expected, atol=1e-5)


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
    offset = noise.offset_noise(plain, draws, 0.0357) - plain
    assert torch.allclose(offset, (0.0357 * draws).expand_as(plain), atol=1e-6)


def test_losses_are_of_each_image():
    predicted, target = (
        torch.zeros(2, 4, 2, 2),
        torch.stack([torch.ones(4, 2, 2), torch.full((4, 2, 2), 3.0)]),
    )
    assert noise.losses(predicted, target).tolist() == [1, 9]


@pytest.mark.parametrize("schedule", ["constant", "exponential", "snr"])
@pytest.mark.parametrize("kind", ["huber", "smooth_l1"])
def test_pseudo_huber_is_the_papers(kind, schedule):
    """Each number by scalars, as sd-scripts' `get_huber_threshold_if_needed` and `conditional_loss` define it."""
    alphas, steps = noise.alphas_cumprod(), torch.tensor([0, 300, 999])
    generator = torch.Generator().manual_seed(3)
    predicted, targets = torch.randn(2, 3, 4, 2, 2, generator=generator)
    c = noise.huber_c(alphas, steps, 0.1, schedule)
    ours = noise.losses(predicted, targets, kind, c)
    for place, step in enumerate(steps.tolist()):
        sigma = ((1 - alphas[step].item()) / alphas[step].item()) ** 0.5
        threshold = {
            "constant": 0.1,
            "exponential": math.exp(math.log(0.1) / 1000 * step),
            "snr": 0.9 / (1 + sigma) ** 2 + 0.1,
        }[schedule]
        errors = (predicted[place] - targets[place]).flatten().tolist()
        values = [2 * ((error**2 + threshold**2) ** 0.5 - threshold) for error in errors]
        factor = threshold if kind == "huber" else 1
        assert float(ours[place]) == pytest.approx(factor * sum(values) / len(values), rel=1e-5)


def test_huber_is_near_the_square_for_small_errors_and_linear_for_large_ones():
    c = torch.full((1, 1, 1, 1), 0.1)
    zero = torch.zeros(1, 4, 1, 1)
    small, large, twice = (
        float(noise.losses(zero + error, zero, "huber", c)) for error in (1e-2, 100.0, 200.0)
    )
    assert small == pytest.approx(1e-4, rel=1e-2)
    assert twice == pytest.approx(2 * large, rel=1e-2)


def test_masks_weigh_places():
    predicted, target = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2)
    mask = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    assert noise.losses(predicted, target, masks=mask).tolist() == [1.5 / 4]
    assert (
        noise.losses(predicted, target, masks=torch.ones_like(mask)).tolist()
        == noise.losses(predicted, target).tolist()
    )


def test_multi_resolution_noise_is_sd_scripts():
    """`pyramid_noise_like` of sd-scripts, with our draws in place of torch's."""
    generator = torch.Generator().manual_seed(4)
    plain = torch.randn(4, 12, 20, generator=generator)
    ratios = [2.5, 3.0, 2.2, 3.9]
    layers, sizes, theirs = [], [], plain[None].clone()
    upsample = torch.nn.Upsample(size=(12, 20), mode="bilinear")
    for place, ratio in enumerate(ratios):
        size = (max(1, int(12 / ratio**place)), max(1, int(20 / ratio**place)))
        layer = torch.randn(1, 4, *size, generator=generator)
        theirs += upsample(layer) * 0.4**place
        layers.append(layer[0])
        sizes.append(size)
        if 1 in size:
            break
    assert noise.pyramid_sizes(12, 20, ratios) == sizes == [(12, 20), (4, 6), (2, 4), (1, 1)]
    ours = noise.pyramid_noise(plain, layers, 0.4)
    assert torch.allclose(ours, (theirs / theirs.std())[0], atol=1e-6)
    assert float(ours.std()) == pytest.approx(1)
