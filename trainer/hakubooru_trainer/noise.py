"""The noise schedule of SDXL and the weights of the loss, as pure functions.

The symbols are those of the papers: `alphas` are the cumulated products ᾱ of 1 - β, (1000,) float64; t is a timestep;
SNR(t) = ᾱ / (1 - ᾱ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

if TYPE_CHECKING:
    from torch import Tensor

STEPS: Final = 1000


def alphas_cumprod(*, zero_terminal_snr: bool = False) -> Tensor:
    """Compute ᾱ of SDXL's `scaled_linear` schedule, (1000,) float64.

    Args:
        zero_terminal_snr: shift and scale √ᾱ so that the last is 0 and the first stays: Lin et al., "Common
            Diffusion Noise Schedules and Sample Steps Are Flawed", algorithm 1.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, STEPS, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, 0)
    if zero_terminal_snr:
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return alphas


def snr(alphas: Tensor, timesteps: Tensor) -> Tensor:
    """The ratio of signal to noise of each timestep, in power: ᾱ / (1 - ᾱ), (B,) float64."""
    some = alphas[timesteps]
    return some / (1 - some)


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor) -> Tensor:
    """Add noise to latents: √ᾱ latents + √(1 - ᾱ) noise, (B, 4, H/8, W/8)."""
    some = alphas[timesteps][:, None, None, None]
    return latents * some.sqrt().to(latents.dtype) + noise * (1 - some).sqrt().to(latents.dtype)


def target(
    latents: Tensor, noise: Tensor, alphas: Tensor, timesteps: Tensor, prediction: Literal["epsilon", "v"]
) -> Tensor:
    """What the model has to predict: the noise, or v = √ᾱ noise - √(1 - ᾱ) latents (Salimans and Ho, 2022)."""
    if prediction == "epsilon":
        return noise
    some = alphas[timesteps][:, None, None, None]
    return noise * some.sqrt().to(latents.dtype) - latents * (1 - some).sqrt().to(latents.dtype)


def min_snr_weight(ratio: Tensor, gamma: float, prediction: Literal["epsilon", "v"]) -> Tensor:
    """The min-SNR weight (Hang et al., 2023): min(SNR, gamma) / SNR for the noise, min(SNR, gamma) / (SNR + 1) for v.

    For the noise it is 1 where the SNR is 0. Shape (B,), as `ratio`.
    """
    if prediction == "v":
        return ratio.clamp(max=gamma) / (ratio + 1)
    return (gamma / ratio).clamp(max=1)


def debiased_weight(ratio: Tensor) -> Tensor:
    """The debiased weight 1 / √min(SNR, 1000) (Yu et al., "Debias the Training of Diffusion Models", 2023)."""
    return 1 / ratio.clamp(max=1000).sqrt()


def kohya_debiased_v_weight(ratio: Tensor) -> Tensor:
    """The weight 1 / (min(SNR, 1000) + 1), which sd-scripts uses for the prediction of v when it debiases."""
    return 1 / (ratio.clamp(max=1000) + 1)


def offset_noise(noise: Tensor, draws: Tensor, deviation: float) -> Tensor:
    """Add a random number to each channel of each image's noise.

    Args:
        noise: (B, 4, H/8, W/8).
        draws: draws of the normal distribution, (B, 4, 1, 1).
        deviation: the factor of the draws.
    """
    return noise + deviation * draws


def sampling_timesteps(steps: int) -> list[int]:
    """The timesteps of a sampler, from the last one down ("trailing", Lin et al.), so that it starts with pure noise."""
    return [round(STEPS - place * STEPS / steps) - 1 for place in range(steps)]


def ddim_step(
    noisy: Tensor, predicted: Tensor, now: Tensor, then: Tensor, prediction: Literal["epsilon", "v"]
) -> Tensor:
    """Make a step of DDIM without noise (Song et al., 2020), which is Euler's method in sigma; float32.

    Args:
        noisy: latents at a timestep, (B, 4, H/8, W/8).
        predicted: the model's prediction.
        now: ᾱ of that timestep; not 0 if the noise is predicted.
        then: ᾱ of the next timestep; 1 at the end.
        prediction: what the model predicts.
    """
    signal, rest = now.sqrt().float(), (1 - now).sqrt().float()
    if prediction == "epsilon":
        clean, noise = (noisy - rest * predicted) / signal, predicted
    else:
        clean, noise = signal * noisy - rest * predicted, signal * predicted + rest * noisy
    return then.sqrt().float() * clean + (1 - then).sqrt().float() * noise


def losses(predicted: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared error of each image, (B,) float32."""
    return F.mse_loss(predicted.float(), wanted.float(), reduction="none").mean((1, 2, 3))
