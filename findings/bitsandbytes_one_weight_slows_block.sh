#!/usr/bin/env bash
# bitsandbytes: in its 8-bit Adam one weight with a large gradient takes the steps from the 255 others of its block: where its gradient is a thousand times theirs, they move at less than half the learning rate, and at ten thousand times, at less than a fifth, step after step. Adam's step does not depend on the
# size of a gradient, and with 32-bit states, or one place outside the block, it is the whole rate. Expected: small rounding of each step. min_8bit_size above the layer's size helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 bitsandbytes==0.50.2 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
from importlib.metadata import version
import bitsandbytes, torch

torch.set_num_threads(1)

def rates(ratio, **options):
    """The part of the learning rate by which weights have moved per step: the large one, one of its block, one outside."""
    weights = torch.nn.Parameter(torch.zeros(4096))
    optimizer = bitsandbytes.optim.AdamW8bit([weights], lr=1e-3, weight_decay=0, **options)
    for _ in range(10):
        weights.grad = torch.full((4096,), 1e-4)
        weights.grad[0] *= ratio
        optimizer.step()
    return [round(float(-weights.detach()[place] / 1e-2), 2) for place in (0, 255, 256)]

print("bitsandbytes", version("bitsandbytes"), "torch", torch.__version__, "step of the large one, of one in its block, of one outside, by how much larger:")
seen = {}
for ratio in (1, 100, 1000, 10000):
    seen[ratio], whole = rates(ratio), rates(ratio, min_8bit_size=4097)
    print(f"  {ratio}: 8 bits {seen[ratio]}, 32 bits {whole}")
    assert whole == [1, 1, 1], whole
    assert seen[ratio][0] == seen[ratio][2] == 1, seen
assert seen[1][1] == 1 and seen[1000][1] < 0.5 and seen[10000][1] < 0.2, seen
PYTHON
"$folder/venv/bin/python" "$folder/program.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
