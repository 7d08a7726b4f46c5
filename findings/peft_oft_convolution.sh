#!/usr/bin/env bash
# PEFT: an OFT adapter on a convolution wider than 1 x 1 changes its output to two or three times before anything is trained: the patches that it rotates are added up where they overlap, and convolved once more. Merged,
# or unloaded by merging, the same adapter acts as it should: what was trained on one output is used with another. Linear layers and 1 x 1 convolutions are right. Expected: no change at the
# start, and the same output merged.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import peft, torch
from peft import OFTConfig, get_peft_model

def distances(size):
    """The relative change of a convolution's output: by a new adapter, by one with weights, and by the same merged."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 16, size, padding=size // 2)
    inputs = torch.randn(2, 8, 12, 12)
    plain = conv(inputs).detach()
    model = get_peft_model(torch.nn.Sequential(conv), OFTConfig(r=0, oft_block_size=4, target_modules=["0"], use_cayley_neumann=False))

    def change():
        return float((model(inputs).detach() - plain).norm() / plain.norm())

    start = change()
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = torch.randn_like(weight) / 10
    trained = change()
    model.merge_adapter()
    return start, trained, change()

print("peft", peft.__version__, "relative change of the output at the start, with weights, and merged:")
seen = {size: distances(size) for size in (1, 3)}
for size, (start, trained, merged) in seen.items():
    print(f"  Conv2d {size} x {size}: {start:.3f}, {trained:.3f}, {merged:.3f}")
start, trained, merged = seen[1]
assert start < 1e-5 and abs(trained - merged) < 1e-4, seen
start, trained, merged = seen[3]
assert start > 1.5 and trained > 1.5 and 0 < merged < 0.6, seen
PYTHON
