#!/usr/bin/env bash
# diffusers: noise is added with ᾱ rounded to the type of the latents before 1 - ᾱ is taken. With bfloat16 latents and the noise levels of SDXL, timesteps 0 and 1 get no noise at all, and
# the first hundred share 28 levels. Expected: √(1 - ᾱ) by fp32 numbers, rounded at the end. get_velocity does the same.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import diffusers, torch
from diffusers import DDPMScheduler

scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)  # SDXL's
steps = torch.arange(1000)
right = (1 - scheduler.alphas_cumprod).sqrt()
levels, targets = {}, {}
for kind in (torch.float32, torch.bfloat16):
    nothing, noise = torch.zeros(1000, 1, dtype=kind), torch.ones(1000, 1, dtype=kind)
    levels[kind] = scheduler.add_noise(nothing, noise, steps).float().flatten()
    targets[kind] = -scheduler.get_velocity(noise, nothing, steps).float().flatten()
rounded = levels[torch.bfloat16]
off = ((rounded - right) / right).abs()
print("diffusers", diffusers.__version__, "torch", torch.__version__)
print("  noise at timesteps 0 to 6:", [round(x, 3) for x in right[:7].tolist()], "with bfloat16 latents:", [round(x, 3) for x in rounded[:7].tolist()])
print("  timesteps that are off by more than 1%:", int((off > 0.01).sum()), "; levels of the first 100:", len(rounded[:100].unique()))
assert torch.allclose(levels[torch.float32], right)
assert rounded[:2].tolist() == [0, 0] and rounded[2] > 0, rounded[:3]
assert torch.equal(targets[torch.bfloat16], rounded)
assert (off > 0.01).sum() > 40 and right.bfloat16()[:100].unique().numel() > 90
PYTHON
