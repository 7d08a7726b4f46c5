#!/usr/bin/env bash
# LyCORIS: with bypass_mode, which it also turns on by itself over quantized layers, OFT, BOFT and IA3 turn or scale the bias of a layer too, and without it the weight alone, as merging does: the same factors are two networks. What was trained over a
# quantized model draws otherwise when it is merged, or used over a model that is not. LoCon and LoKr, and layers without a bias, give the same in both. Expected: one network, or that the mode is written in the file.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 lycoris-lora==4.1.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
from importlib.metadata import version
import torch
from lycoris import create_lycoris

logging.disable(logging.WARNING)
x = torch.randn(16, 64, generator=torch.Generator().manual_seed(3))

def outputs(algo, bias, bypass, merge=False):
    """A layer's outputs, and their change by a network, applied or merged."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=bias)).requires_grad_(False)
    base = layers(x)
    network = create_lycoris(layers, 1.0, linear_dim=8, linear_alpha=8, algo=algo, factor=8, bypass_mode=bypass)
    network.apply_to()
    assert network.loras[0].bypass_mode is bypass
    random = torch.Generator().manual_seed(2)
    for name, weight in network.named_parameters():
        if "org_module" not in name:
            weight.data = torch.randn(weight.shape, generator=random) / 8
    network.eval()
    if merge:
        network.restore()
        network.merge_to(1.0)
    return (layers(x) - base).detach()

print("lycoris-lora", version("lycoris-lora"), "distance of the change with bypass_mode, and merged, from the change without, of the same factors:")
for algo in ("diag-oft", "boft", "ia3", "locon", "lokr"):
    seen = {}
    for bias in (True, False):
        plain = outputs(algo, bias, False)
        seen[bias] = [round(float((other - plain).norm() / plain.norm()), 3) for other in (outputs(algo, bias, True), outputs(algo, bias, True, True))]
    print(f"  {algo}: with a bias {seen[True]}, without {seen[False]}")
    assert seen[False] == [0, 0], seen
    if algo in ("locon", "lokr"):
        assert seen[True] == [0, 0], seen
    else:
        assert seen[True][0] > 0.05 and seen[True][1] == 0, seen
PYTHON
