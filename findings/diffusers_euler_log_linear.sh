#!/usr/bin/env bash
# diffusers: EulerDiscreteScheduler with interpolation_type="log_linear" spaces its noise levels evenly in their logarithm, and leaves the timesteps evenly spaced: between the first step and the last the model is given a timestep of more noise than the latents have, up to five times as much. With a perfect
# model of a normal distribution the pictures come out with a wrong mean and spread. use_exponential_sigmas spaces the levels alike, and makes the timesteps of them. Expected: timesteps that belong to the noise levels.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
warnings.simplefilter("ignore")
import diffusers, torch

MEAN, SPREAD = 0.5, 0.1
of_model = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
table = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
log_levels = ((1 - table) / table).sqrt().log()

def level(timestep):
    """The noise level that the model was trained for at a timestep, between two whole ones by logarithms."""
    low = min(int(timestep), 998)
    return float(torch.lerp(log_levels[low], log_levels[low + 1], float(timestep) - low).exp())

def draw(**options):
    """Latents drawn in thirty steps, by the exact noise prediction for independent normal values."""
    scheduler = diffusers.EulerDiscreteScheduler(**of_model, **options)
    scheduler.set_timesteps(30)
    latents = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        sigma = level(timestep)
        noisy = scheduler.scale_model_input(latents, timestep) * (1 + sigma**2) ** 0.5
        noise = sigma * (noisy - MEAN) / (SPREAD**2 + sigma**2)
        latents = scheduler.step(noise, timestep, latents).prev_sample
    ratios = [level(timestep) / float(sigma) for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas)]
    return round(float(latents.mean()), 2), round(float(latents.std()), 2), round(max(ratios), 1)

print("diffusers", diffusers.__version__, f"true mean {MEAN} and spread {SPREAD}; mean, spread, and how many times too much noise the model assumes at most:")
seen = {}
for name, options in {"linear": {}, "log_linear": {"interpolation_type": "log_linear"}, "exponential": {"use_exponential_sigmas": True}}.items():
    seen[name] = draw(**options)
    print(f"  {name}: {seen[name]}")
for name in ("linear", "exponential"):
    assert abs(seen[name][0] - MEAN) < 0.02 and abs(seen[name][1] - SPREAD) < 0.04 and seen[name][2] < 1.1, seen
assert abs(seen["log_linear"][0] - MEAN) > 0.05 and seen["log_linear"][1] > 2 * SPREAD and seen["log_linear"][2] > 3, seen
PYTHON
