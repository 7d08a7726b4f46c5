#!/usr/bin/env bash
# bitsandbytes: Adam takes its weight decay off the weights, as AdamW does, not into the gradient as torch.optim.Adam does: both classes are one optimiser. RMSprop and Adagrad beside it
# decay as torch does. Expected: bnb.optim.Adam is torch.optim.Adam in fewer bits.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 bitsandbytes==0.50.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import bitsandbytes, torch
from bitsandbytes import optim as bits
from torch import optim

def trained(kind, **options):
    """A matrix after twenty steps with the same gradients."""
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(64, 64, generator=random))
    optimizer = kind([weight], weight_decay=0.1, **options)
    for _ in range(20):
        weight.grad = torch.randn(64, 64, generator=random) / 100
        optimizer.step()
    return weight.detach()

def apart(one, other):
    return float((one - other).norm() / other.norm())

print("bitsandbytes", bitsandbytes.__version__, "torch", torch.__version__, "(CPU), relative distance after 20 steps with weight_decay=0.1:")
for name in ("Adam", "Adam8bit"):
    ours = trained(getattr(bits, name), lr=1e-2)
    same, other = apart(ours, trained(optim.AdamW, lr=1e-2)), apart(ours, trained(optim.Adam, lr=1e-2))
    print(f"  bitsandbytes {name}: {same:.2g} from torch's AdamW, {other:.2g} from torch's Adam")
    assert same < 0.01 < 0.1 < other, name
for name in ("RMSprop", "Adagrad"):
    same = apart(trained(getattr(bits, name), lr=1e-3), trained(getattr(optim, name), lr=1e-3))
    print(f"  bitsandbytes {name}: {same:.2g} from torch's {name}")
    assert same < 1e-5, name
PYTHON
