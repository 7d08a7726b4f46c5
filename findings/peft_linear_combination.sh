#!/usr/bin/env bash
# PEFT: add_weighted_adapter with combination_type="linear", by which diffusers' guide merges LoRAs, adds the factors, not the changes that they make: (√w₁·B₁ + √w₂·B₂)(√w₁·A₁ + √w₂·A₂) has the products of one LoRA's B with the other's A, too, as strong as what was asked for. "cat"
# gives the sum, at the sum of the ranks. Expected: w₁·B₁A₁ + w₂·B₂A₂, or the nearest of the rank, as "svd" gives it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import peft, torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
options = {"r": 8, "lora_alpha": 8, "target_modules": ["0"], "init_lora_weights": False}
model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(64, 64)), LoraConfig(**options), "style")
model.add_adapter("character", LoraConfig(**options))
layer = model.base_model.model[0]
down, up = ({name: part[name].weight.detach() for name in ("style", "character")} for part in (layer.lora_A, layer.lora_B))
wanted = sum(up[name] @ down[name] for name in up) / 2
crossed = (up["style"] @ down["character"] + up["character"] @ down["style"]) / 2

def combined(kind):
    model.add_weighted_adapter(["style", "character"], [0.5, 0.5], kind, combination_type=kind)
    return layer.get_delta_weight(kind).detach()

seen = {kind: float((combined(kind) - wanted).norm() / wanted.norm()) for kind in ("linear", "svd", "cat")}
print("peft", peft.__version__, "two LoRAs at 0.5 each, distance from the sum of their changes, as a part of it:", {kind: round(off, 3) for kind, off in seen.items()})
assert torch.allclose(layer.get_delta_weight("linear"), wanted + crossed, atol=1e-5)
assert 0.8 < seen["linear"] < 1.2 and seen["svd"] < 0.7 and seen["cat"] < 1e-5, seen
PYTHON
