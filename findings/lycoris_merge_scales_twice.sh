#!/usr/bin/env bash
# LyCORIS: merge_to multiplies LoHa, and LoKr of low rank, by alpha / dim twice: with the usual alpha of 1 at dim 4, a quarter of the trained change is merged, though the same network, and one made
# of the same file, acts with all of it before. LoCon and LoKr with full matrices are merged rightly. Expected: the merged model gives what the model with the network applied gives.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 lycoris-lora==4.1.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
from importlib.metadata import version
import torch
from lycoris import create_lycoris, create_lycoris_from_weights

logging.disable(logging.WARNING)
inputs = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))

def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(64, 96))

def change(layers):
    return float((layers(inputs) - model()(inputs)).detach().norm())

def part_merged(**options):
    """The change that a network makes once it is merged, as a part of what it makes applied; of the network itself, and of one made of its file."""
    trained = model()
    network = create_lycoris(trained, 1.0, linear_dim=4, linear_alpha=1, **options)
    network.apply_to()
    random = torch.Generator().manual_seed(2)
    for layer in network.loras:
        for name, weight in layer.named_parameters():
            if "org_module" not in name:
                weight.data = torch.randn(weight.shape, generator=random) / 10
    applied, file = change(trained), {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.restore()
    network.merge_to(1.0)
    other = model()
    create_lycoris_from_weights(1.0, None, other, weights_sd=file)[0].merge_to(1.0)
    return change(trained) / applied, change(other) / applied

print("lycoris-lora", version("lycoris-lora"), "alpha 1 at dim 4; merged, as a part of the change before; a network made of the file, merged:")
for name, options, wanted in (
    ("LoCon", {"algo": "locon"}, 1), ("LoKr, full matrix", {"algo": "lokr", "factor": 4, "full_matrix": True}, 1),
    ("LoKr", {"algo": "lokr", "factor": 4}, 0.25), ("LoHa", {"algo": "loha"}, 0.25),
):
    parts = part_merged(**options)
    print(f"  {name}: {parts[0]:.3f}, {parts[1]:.3f}")
    assert all(abs(part - wanted) < 0.01 for part in parts), (name, parts)
PYTHON
