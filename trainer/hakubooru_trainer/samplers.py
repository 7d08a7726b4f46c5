"""Samplers: how a picture comes out of noise, step by step, as pure functions of the schedule and the model's predictions.

All of them keep latents in the form that the model takes: x = √ᾱ x₀ + √(1 - ᾱ) ε. The signal is √ᾱ, the rest
√(1 - ᾱ), and λ the logarithm of their ratio. A schedule may begin with pure noise (ᾱ = 0) and ends without any (ᾱ = 1); no formula
divides by 0 there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class Step(NamedTuple):
    """A step of a sampler."""

    noisy: Tensor
    """The latents, (B, 4, H/8, W/8) float32."""
    clean: Tensor
    """The model's idea of the latents without noise."""
    noise: Tensor
    """The model's idea of the noise."""
    now: Tensor
    """ᾱ of these latents."""
    then: Tensor
    """ᾱ of the latents after the step; 1 at the end."""


def split(
    noisy: Tensor, predicted: Tensor, now: Tensor, prediction: Literal["epsilon", "v"]
) -> tuple[Tensor, Tensor]:
    """Split latents into clean latents and noise by a model's prediction, each of the latents' shape.

    Args:
        noisy: the latents.
        predicted: the model's prediction.
        now: ᾱ of the latents; not 0 if the noise is predicted.
        prediction: what the model predicts.
    """
    signal, rest = now.sqrt().float(), (1 - now).sqrt().float()
    if prediction == "epsilon":
        return (noisy - rest * predicted) / signal, predicted
    return signal * noisy - rest * predicted, signal * predicted + rest * noisy


def ddim(steps: Sequence[Step], draw: Callable[[], Tensor]) -> Tensor:
    """Make a step of DDIM without noise (Song et al., 2020), which is Euler's method in sigma."""
    del draw
    step = steps[-1]
    return step.then.sqrt().float() * step.clean + (1 - step.then).sqrt().float() * step.noise


def euler_ancestral(steps: Sequence[Step], draw: Callable[[], Tensor]) -> Tensor:
    """Make a step of Euler's method with fresh noise (Karras et al., 2022; `sample_euler_ancestral` of k-diffusion, eta 1).

    With s = rest / signal before a step and t after it: s_up² = t² (s² - t²) / s², s_down² = t² - s_up².
    """
    step = steps[-1]
    ratio = (1 - step.then) / step.then * step.now / (1 - step.now)  # t² / s², 0 from pure noise
    after = ((1 - step.then) / step.then).sqrt()
    up, down = after * (1 - ratio).clamp(min=0).sqrt(), after * ratio.sqrt()
    moved = step.clean + down.float() * step.noise
    return step.then.sqrt().float() * (moved + (up.float() * draw() if up > 0 else 0))


def dpmpp_2m(steps: Sequence[Step], draw: Callable[[], Tensor]) -> Tensor:
    """Make a step of DPM-Solver++(2M) (Lu et al., 2022, algorithm 2); the first and the last step are of first order."""
    del draw
    step = steps[-1]
    clean = step.clean
    if len(steps) > 1 and step.then < 1:
        before = steps[-2]
        r = (_log_snr(step.now) - _log_snr(before.now)) / (_log_snr(step.then) - _log_snr(step.now))
        share = (1 / (2 * r)).float()
        clean = (1 + share) * clean - share * before.clean
    # exp(λ - λ'), which is 0 from pure noise and at the end
    shrink = (step.now / (1 - step.now) * (1 - step.then) / step.then).sqrt()
    rest = ((1 - step.then) / (1 - step.now)).sqrt()
    return rest.float() * step.noisy + (step.then.sqrt() * (1 - shrink)).float() * clean


SAMPLERS: Final[dict[str, Callable[[Sequence[Step], Callable[[], Tensor]], Tensor]]] = {
    "ddim": ddim,
    "euler_a": euler_ancestral,
    "dpmpp_2m": dpmpp_2m,
}
"""The samplers. Each gives the latents after a step, from the steps so far, of which the last one is to be made, and draws of noise."""


def _log_snr(alpha: Tensor) -> Tensor:
    """Half the logarithm of the ratio of signal to noise in power, λ of the papers, float64."""
    return torch.log(alpha / (1 - alpha)) / 2
