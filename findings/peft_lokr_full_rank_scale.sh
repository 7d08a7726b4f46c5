#!/usr/bin/env bash
# PEFT: LoKr is scaled by alpha / r also where r is larger than the layer and its factors are full matrices. The rank that asks for full matrices in LyCORIS' settings (100000, as in published configurations) then
# makes the adapter act with 8 / 100000 of its weights; nothing says so. LyCORIS leaves the scale out there. Expected: the same adapter as with the least rank that gives full matrices; alpha = r helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 lycoris-lora==4.1.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
from importlib.metadata import version
import peft, torch
from lycoris import create_lycoris
from peft import LoKrConfig, get_peft_model

logging.disable(logging.WARNING)
inputs = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))

def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(64, 64))

def change(layers, weights):
    """The change of the output by an adapter all whose weights are 0.1."""
    for weight in weights:
        weight.data = torch.full_like(weight, 0.1)
    return float((layers(inputs) - model()(inputs)).detach().norm())

def by_peft(rank):
    layers = get_peft_model(model(), LoKrConfig(r=rank, decompose_factor=8, target_modules=["0"]))
    weights = {name.split(".")[-2]: weight for name, weight in layers.named_parameters() if weight.requires_grad}
    return change(layers, weights.values()), sorted(weights)

def by_lycoris(rank):
    layers = model()
    network = create_lycoris(layers, 1.0, algo="lokr", linear_dim=rank, linear_alpha=8, factor=8)
    network.apply_to()
    layer = network.loras[0]
    return change(layers, [layer.lokr_w1, layer.lokr_w2])

print("peft", peft.__version__, "lycoris-lora", version("lycoris-lora"), "change by a LoKr of full matrices with the default alpha, 8:")
seen = {rank: (by_peft(rank), by_lycoris(rank)) for rank in (8, 100000)}
for rank, ((ours, names), other) in seen.items():
    print(f"  rank {rank}: PEFT {ours:.5f} {names}, LyCORIS {other:.5f}")
    assert names == ["lokr_w1", "lokr_w2"], names
(small, _), lycoris = seen[8]
(large, _), other = seen[100000]
assert abs(lycoris - other) < 1e-3 and abs(small - lycoris) < 1e-3, seen
assert large < small / 10000, seen
PYTHON
