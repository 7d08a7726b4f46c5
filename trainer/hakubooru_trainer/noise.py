"""The noise schedule of SDXL and the weights of the loss, as pure functions.

The symbols are those of the papers: `alphas` are the cumulated products ᾱ of 1 - β, (1000,) float64; t is a timestep;
SNR(t) = ᾱ / (1 - ᾱ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """Add a random number to each channel of each image's noise (Guttenberg, "Diffusion with Offset Noise", 2023).

    Args:
        noise: (B, 4, H/8, W/8).
        draws: draws of the normal distribution, (B, 4, 1, 1).
        deviation: the factor of the draws.
    """
    return noise + deviation * draws


def sampling_timesteps(steps: int) -> list[int]:
    """The timesteps of a sampler, from the last one down ("trailing", Lin et al.), so that it starts with pure noise."""
    return [round(STEPS - place * STEPS / steps) - 1 for place in range(steps)]


def pyramid_noise(noise: Tensor, layers: Sequence[Tensor], discount: float) -> Tensor:
    """Add coarser noise to an image's noise, and scale the sum to deviation 1.

    It is sd-scripts' `pyramid_noise_like` (Whitaker, "Multi-Resolution Noise for Diffusion Model Training", 2023) for one image.

    Args:
        noise: (4, H/8, W/8).
        layers: draws of the normal distribution, each (4, height, width) of some size; they are enlarged bilinearly.
        discount: the n-th layer counts discount ** n, from n = 0.
    """
    for place, layer in enumerate(layers):
        coarse = F.interpolate(layer[None], noise.shape[1:], mode="bilinear")[0]
        noise = noise + discount**place * coarse
    return noise / noise.std()


def pyramid_sizes(height: int, width: int, ratios: Sequence[float]) -> list[tuple[int, int]]:
    """The heights and widths of the layers of `pyramid_noise`: the n-th is ratio ** n times smaller, until a side is 1.

    Args:
        height: the height of the latents.
        width: the width of the latents.
        ratios: a ratio from 2 to 4 for each layer.
    """
    sizes = []
    for place, ratio in enumerate(ratios):
        size = (max(1, int(height / ratio**place)), max(1, int(width / ratio**place)))
        sizes.append(size)
        if 1 in size:
            break
    return sizes


def huber_c(
    alphas: Tensor, timesteps: Tensor, c: float, schedule: Literal["constant", "exponential", "snr"]
) -> Tensor:
    """The error from which the pseudo-Huber loss is linear, by timestep, (B, 1, 1, 1) float32.

    The schedules are sd-scripts' (Khrapov et al., "Improving Diffusion Models's Data-Corruption Resistance using Scheduled
    Pseudo-Huber Loss", 2024): c itself; c ** (t / 1000); (1 - c) / (1 + s)² + c with s² = (1 - ᾱ) / ᾱ.
    """
    if schedule == "exponential":
        values = c ** (timesteps.double() / STEPS)
    elif schedule == "snr":
        sigma = ((1 - alphas) / alphas).sqrt()[timesteps]
        values = (1 - c) / (1 + sigma) ** 2 + c
    else:
        values = torch.full_like(alphas[timesteps], c)
    return values.float()[:, None, None, None]


LOSSES: Final[dict[str, Callable[[Tensor, Tensor, Any], Tensor]]] = {
    "l2": lambda predicted, wanted, c: F.mse_loss(predicted, wanted, reduction="none"),  # noqa: ARG005 - it has no c
    "huber": lambda predicted, wanted, c: 2 * c * (((predicted - wanted) ** 2 + c**2).sqrt() - c),
    "smooth_l1": lambda predicted, wanted, c: 2 * (((predicted - wanted) ** 2 + c**2).sqrt() - c),
}
"""The error of each number by the kind of loss, from prediction, target and c; `l2` needs no c, and gets None."""


def losses(
    predicted: Tensor,
    wanted: Tensor,
    kind: str = "l2",
    c: Tensor | None = None,
    masks: Tensor | None = None,
) -> Tensor:
    """The mean error of each image, (B,) float32.

    Args:
        predicted: what the model predicts, (B, 4, H/8, W/8).
        wanted: the target, of that shape.
        kind: a key of `LOSSES`.
        c: the number c of the pseudo-Huber losses, (B, 1, 1, 1).
        masks: weights of the places, (B, 1, H/8, W/8). The mean is over all places, as in sd-scripts: a small mask weighs little.
    """
    errors = LOSSES[kind](predicted.float(), wanted.float(), c)
    return (errors if masks is None else errors * masks).mean((1, 2, 3))
