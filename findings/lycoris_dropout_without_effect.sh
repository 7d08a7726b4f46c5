#!/usr/bin/env bash
# LyCORIS: dropout does nothing unless bypass_mode is on, which by default it is not: each training step of a LoCon, GLoRA or BOFT gives the same with dropout=0.5 as without. LoKr prints that it has no dropout, and has it with bypass_mode; there its rank_dropout does nothing. GLoRA has
# rank_dropout with bypass_mode alone, BOFT never. Expected: the dropout that is asked for, or an error.
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

def drops(algo, option, bypass):
    """Whether training passes of one network differ, as those with dropout do."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(64, 64)).requires_grad_(False)
    network = create_lycoris(layers, 1.0, linear_dim=8, linear_alpha=8, algo=algo, factor=8, bypass_mode=bypass, **{option: 0.5})
    network.apply_to()
    for name, weight in network.named_parameters():
        if "org_module" not in name:
            weight.data = torch.randn(weight.shape) / 8
    network.train()
    first = layers(x)
    return any(not torch.equal(layers(x), first) for _ in range(8))

OPTIONS = [("dropout", False), ("dropout", True), ("rank_dropout", False), ("rank_dropout", True)]
seen = {algo: [drops(algo, *option) for option in OPTIONS] for algo in ("locon", "loha", "lokr", "glora", "boft")}
print("lycoris-lora", version("lycoris-lora"), "do training passes differ?", [f"{name}, bypass_mode={bypass}" for name, bypass in OPTIONS])
for algo, row in seen.items():
    print(f"  {algo}: {row}")
assert seen == {
    "locon": [False, True, True, True],
    "loha": [False, True, True, True],
    "lokr": [False, True, True, False],
    "glora": [False, True, False, True],
    "boft": [False, False, False, False],
}, seen
PYTHON
