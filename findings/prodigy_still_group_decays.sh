#!/usr/bin/env bash
# prodigyopt: a group with lr 0, the only other rate that Prodigy takes beside the first one and so its way to hold a text encoder still, is not trained, and its weights decay all the same, by weight_decay and the rate of the other groups: they shrink toward zero.
# torch's AdamW decays each group by its own rate. Expected: weights that stay as they are. weight_decay=0 in that group helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 prodigyopt==1.1.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
import torch
from prodigyopt import Prodigy

def run(kind, steps=100, **frozen):
    """The mean weight of a group with lr 0, and that of a trained one, after some steps from 1."""
    torch.manual_seed(1)
    trained, still = (torch.nn.Parameter(torch.ones(16)) for _ in range(2))
    optimizer = kind([{"params": [trained]}, {"params": [still], "lr": 0.0, **frozen}])
    for _ in range(steps):
        trained.grad = trained.detach() + torch.randn(16)
        still.grad = torch.ones(16)
        optimizer.step()
    return round(float(still.detach().mean()), 3), round(float(trained.detach().mean()), 3)

seen = {
    "Prodigy": run(lambda groups: Prodigy(groups, lr=1.0, weight_decay=0.1, d0=1e-3)),
    "Prodigy, weight_decay=0 there": run(lambda groups: Prodigy(groups, lr=1.0, weight_decay=0.1, d0=1e-3), weight_decay=0.0),
    "AdamW": run(lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)),
}
print("prodigyopt", version("prodigyopt"), "torch", torch.__version__, "mean weight of the group with lr 0, and of the other, from 1:", seen)
assert seen["Prodigy"][0] < 0.8, seen
assert seen["AdamW"][0] == seen["Prodigy, weight_decay=0 there"][0] == 1, seen
assert all(row[1] < 0.9 for row in seen.values()), seen
PYTHON
