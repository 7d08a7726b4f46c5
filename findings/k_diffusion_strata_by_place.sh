#!/usr/bin/env bash
# k-diffusion: enable_stratified (and enable_stratified_accelerate) spreads the noise levels of a batch evenly, and in the order of the batch: the first picture always gets the least noise, the last one the most. Where places of a batch have a meaning, as in half pictures of a character and half
# regularisation, or classes in turn, each kind is trained at its own noise levels alone. rand_split_log_normal is not stratified at all inside of it. Expected: even levels in an order by chance, for each of the functions.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 pillow==13.0.0 numpy==2.4.6 safetensors==0.8.0 requests==2.34.2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps k-diffusion==0.1.1.post1
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util, sys, types
from importlib.metadata import distribution, version
import torch

# The functions for noise levels by themselves, since the package around them imports every model that it measures with. Only their neighbours that convert pictures need torchvision.
sys.modules["torchvision.transforms"] = types.SimpleNamespace(functional=None)
sys.modules["torchvision"] = types.SimpleNamespace(transforms=sys.modules["torchvision.transforms"])
place = distribution("k-diffusion").locate_file("k_diffusion/utils.py")
spec = importlib.util.spec_from_file_location("utils_of_k_diffusion", place)
utils = importlib.util.module_from_spec(spec); spec.loader.exec_module(utils)

draws = {
    "rand_log_normal": lambda: utils.rand_log_normal([8], loc=-1.2, scale=1.2),
    "rand_log_uniform": lambda: utils.rand_log_uniform([8], 0.01, 100),
    "rand_v_diffusion": lambda: utils.rand_v_diffusion([8]),
    "rand_split_log_normal": lambda: utils.rand_split_log_normal([8], -1.2, 1.2, 1.2),
}
torch.manual_seed(0)
print("k-diffusion", version("k-diffusion"), "median noise level at each place of 1000 batches of 8:")
for name, draw in draws.items():
    with utils.enable_stratified():
        batches = torch.stack([draw() for _ in range(1000)])
    medians = batches.median(0).values
    in_order = float((batches.diff(dim=1) > 0).all(dim=1).float().mean())
    print(f"  {name}: {[round(float(median), 3) for median in medians]}, {in_order:.0%} of batches in rising order")
    if name == "rand_split_log_normal":
        assert in_order < 0.01 and medians.max() < 1.3 * medians.min()
    else:
        assert in_order == 1 and batches[:, :4].max() <= batches[:, 4:].min()
PYTHON
