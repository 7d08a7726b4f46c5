#!/usr/bin/env bash
# came-pytorch: CAME holds its averages in fp32 beside bfloat16 weights, and load_state_dict makes them bfloat16, for the rest of the run: torch gives each state the type of its weight. With
# beta2 = 0.999 a step then changes less than a bfloat16 can show, and the averages stand still. Expected: a resumed run goes on as one that was not stopped; with fp32 weights it does.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 came-pytorch==0.1.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
import torch
from came_pytorch import CAME

def average(kind, stopped):
    """The mean of a row average after 1000 small gradients that follow 50 large ones; stopped in between, if asked for."""
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(32, 32, generator=random).to(kind))
    optimizer = CAME([weight], lr=1e-4)
    for step in range(1050):
        if step == 50 and stopped:
            state = optimizer.state_dict()
            optimizer = CAME([weight], lr=1e-4)
            optimizer.load_state_dict(state)
        scale = 1 if step < 50 else 0.01
        weight.grad = (torch.randn(32, 32, generator=random) * scale).to(kind)
        optimizer.step()
    rows = optimizer.state[weight]["exp_avg_sq_row"]
    return str(rows.dtype).removeprefix("torch."), float(rows.float().mean())

print("came-pytorch", version("came-pytorch"), "torch", torch.__version__, "average of squared gradients:")
seen = {}
for kind in (torch.float32, torch.bfloat16):
    whole, resumed = average(kind, False), average(kind, True)
    print(f"  {kind} weights: {whole[1]:.4f} as {whole[0]}; of a resumed run {resumed[1]:.4f} as {resumed[0]}")
    seen[kind] = whole, resumed
assert seen[torch.float32][0] == seen[torch.float32][1]
whole, resumed = seen[torch.bfloat16]
assert (whole[0], resumed[0]) == ("float32", "bfloat16"), seen
assert resumed[1] > 1.5 * whole[1], seen
PYTHON
