#!/usr/bin/env bash
# LyCORIS: a DoRA adapter at multiplier 0 does not give the model's weight back.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 lycoris-lora==4.1.3 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import torch
from importlib.metadata import version
from lycoris.modules.lokr import LokrModule

torch.manual_seed(0)
layer = torch.nn.Linear(16, 16, bias=False)
module = LokrModule("layer", layer, lora_dim=1, alpha=1, factor=4, full_matrix=True, weight_decompose=True)
with torch.no_grad():
    module.lokr_w2.normal_()
    merged, _ = module.get_merged_weight(multiplier=0)
    difference = float((merged - layer.weight).norm() / layer.weight.norm())
print("lycoris-lora", version("lycoris-lora"), "weight at multiplier 0 differs from the layer's by", round(difference, 3), "of its norm")
assert difference > 0.1, difference
PYTHON
