#!/usr/bin/env bash
# bitsandbytes: Adam, AdamW and SGD take amsgrad, nesterov and dampening, and RMSprop takes momentum, in their signatures, and do the same with and without them. Of centered, lr_decay and amsgrad of the 8-bit kinds some
# raise an error. Expected: the optimiser that is asked for, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 bitsandbytes==0.50.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import bitsandbytes, torch
from bitsandbytes import optim as bits
from torch import optim

def trained(kind, options):
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(64, 64))
    optimizer = kind([weight], lr=1e-2, **options)
    for step in range(20):
        weight.grad = torch.randn(64, 64, generator=random) * (10 if step < 3 else 0.1)
        optimizer.step()
    return weight.detach()

print("bitsandbytes", bitsandbytes.__version__, "torch", torch.__version__, "(CPU), distance of the weights after 20 steps with the option and without it, here and in torch:")
seen = {}
for name, plain, option in (
    ("Adam", {}, {"amsgrad": True}), ("AdamW", {}, {"amsgrad": True}), ("SGD", {"momentum": 0.9}, {"nesterov": True}),
    ("SGD", {"momentum": 0.9}, {"dampening": 0.5}), ("RMSprop", {}, {"momentum": 0.9}),
):
    ours, other = (float((trained(getattr(kinds, name), plain | option) - trained(getattr(kinds, name), plain)).norm()) for kinds in (bits, optim))
    print(f"  {name}, {option}: {ours:.3g}; {other:.3g}")
    assert ours == 0 < 1e-3 < other, (name, option)
PYTHON
