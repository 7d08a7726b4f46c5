#!/usr/bin/env bash
# LyCORIS: rank_dropout of a norm (train_norm) is the share of its change that stays, not the share that is dropped, as it is in every other layer: with 0.1, nine tenths of the change of each LayerNorm and GroupNorm are missing at each training step, and
# what is drawn later has all of it, ten times what was trained against. rank_dropout_scale does nothing there. Expected: a tenth is dropped.
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

def kept(layer, x, rank_dropout, **options):
    """The part of a layer's changed outputs that a training step still changes."""
    model = torch.nn.Sequential(layer).requires_grad_(False)
    base = model(x)
    network = create_lycoris(model, 1.0, linear_dim=4, linear_alpha=4, algo="locon", train_norm=True, rank_dropout=rank_dropout, **options)
    network.apply_to()
    assert len(network.loras) == 1
    for name, weight in network.named_parameters():
        if "org_module" not in name:
            torch.nn.init.constant_(weight, 0.5)
    network.train()
    parts, sizes = [], []
    for _ in range(50):
        change = (model(x) - base).detach().abs().mean(0)
        parts.append(float((change > 1e-6).float().mean()))
        sizes.append(float(change.max()))
    network.eval()
    return sum(parts) / len(parts), max(sizes) / float((model(x) - base).detach().abs().mean(0).max())

torch.manual_seed(1)
x = torch.randn(8, 512)
print("lycoris-lora", version("lycoris-lora"), "outputs that a training step changes, by rank_dropout:")
for share in (0.1, 0.3, 0.9):
    norm, scaled = kept(torch.nn.LayerNorm(512), x, share)[0], kept(torch.nn.LayerNorm(512), x, share, rank_dropout_scale=True)[1]
    linear = kept(torch.nn.Linear(512, 512), x, share)[0]
    print(f"  {share}: LayerNorm {norm:.3f}, Linear {linear:.3f}; size of a change with rank_dropout_scale {scaled:.3f}")
    assert abs(norm - share) < 0.02 and abs(linear - (1 - share)) < 0.02, (norm, linear)
    assert abs(scaled - 1) < 1e-3, scaled
PYTHON
