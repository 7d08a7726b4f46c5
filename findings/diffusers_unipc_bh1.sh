#!/usr/bin/env bash
# diffusers: UniPCMultistepScheduler with solver_type="bh1", which its description recommends for less than ten steps, gives NaN for every model and number of steps: the last noise level is zero by default, and bh1 divides infinity by itself there. It goes with final_sigmas_type="sigma_min". Neither the
# constructor nor a step says so; a pipeline gives a black picture. Expected: an error, as DPMSolverMultistepScheduler raises for the algorithms that can not end at zero, or a last step of first order.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
warnings.simplefilter("ignore")
import diffusers, torch

def finite(steps, **options):
    """How many values of the latents are finite after each step, with a model that predicts no noise at all."""
    scheduler = diffusers.UniPCMultistepScheduler(**options)
    scheduler.set_timesteps(steps)
    latents = torch.ones(1, 4, 8, 8)
    counts = []
    for timestep in scheduler.timesteps:
        latents = scheduler.step(torch.zeros_like(latents), timestep, latents).prev_sample
        counts.append(int(latents.isfinite().sum()))
    return counts

print("diffusers", diffusers.__version__, "finite values of 256 after each step:")
for steps in (5, 8, 20):
    bh1, bh2 = finite(steps, solver_type="bh1"), finite(steps, solver_type="bh2")
    ended = finite(steps, solver_type="bh1", final_sigmas_type="sigma_min")
    print(f"  {steps} steps: bh1 ends with {bh1[-2:]}, bh2 with {bh2[-2:]}, bh1 to sigma_min with {ended[-2:]}")
    assert bh1 == [256] * (steps - 1) + [0] and bh2 == ended == [256] * steps
PYTHON
