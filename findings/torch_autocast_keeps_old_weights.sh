#!/usr/bin/env bash
# torch: autocast keeps the half-precision copy of a weight until its with block ends, and a weight that was changed in the block in place (an optimizer's step, an adapter merged or taken out, an average swapped in) goes on as it was. Images drawn with and without a
# LoRA in one block are the same. Weights without requires_grad are cast each time, so that a frozen model hides it. Expected: the weight as it is: tensors count their changes. One block for each use, or cache_enabled=False, helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch

def outputs(trains, **options):
    """The output of a layer before and after its weight is doubled, in one autocast block."""
    layer = torch.nn.Linear(4, 4, bias=False).requires_grad_(trains)
    torch.nn.init.ones_(layer.weight)
    inputs = torch.ones(1, 4)
    version = layer.weight._version
    with torch.autocast("cpu", torch.bfloat16, **options):
        first = layer(inputs)
        with torch.no_grad():
            layer.weight.mul_(2)
        second = layer(inputs)
    assert layer.weight._version == version + 1
    return first[0, 0].item(), second[0, 0].item()

seen = {"trained": outputs(True), "frozen": outputs(False), "cache_enabled=False": outputs(True, cache_enabled=False)}
print("torch", torch.__version__, "output before and after the weight is doubled:", seen)
assert seen == {"trained": (4, 4), "frozen": (4, 8), "cache_enabled=False": (4, 8)}, seen
PYTHON
