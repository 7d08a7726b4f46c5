#!/usr/bin/env bash
# LyCORIS: a DyLoRA acts with alpha / blocks while it is trained and merged, and its file says alpha / dim, as a LoRA's does: loaded again, by LyCORIS or any other program, it acts with one part in block_size of what was trained, 4 by default. Expected: the file gives the network that was trained, as
# LoCon's does.
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
    return torch.nn.Sequential(torch.nn.Linear(64, 64))

def change(layers):
    return float((layers(inputs) - model()(inputs)).detach().norm())

def strengths(dim, **options):
    """The change of the output by a network, by the same merged, and by one made of its file, with all the factors of the file."""
    layers, merged, other = model(), model(), model()
    network = create_lycoris(layers, 1.0, linear_dim=dim, linear_alpha=dim, **options)
    random = torch.Generator().manual_seed(2)
    network.apply_to()
    for name, weight in network.loras[0].named_parameters():
        if "org_module" not in name:
            weight.data = torch.randn(weight.shape, generator=random) / 10
    network.eval()
    applied, file = change(layers), {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.restore()
    network.merge_to(1.0)
    again = create_lycoris_from_weights(1.0, None, other, weights_sd=file)[0]
    again.apply_to()
    up, down, alpha = (next(tensor for name, tensor in file.items() if part in name) for part in ("up", "down", "alpha"))
    expected = float((inputs @ down.T @ up.T * alpha / dim).detach().norm())
    return [value / expected for value in (applied, change(layers), change(other))]

print("lycoris-lora", version("lycoris-lora"), "change as a part of what the file says: applied, merged, and of the file loaded again:")
for dim in (4, 8):
    for options in ({"algo": "locon"}, {"algo": "dylora", "block_size": dim}):  # one block: none is left out by chance
        seen = strengths(dim, **options)
        print(f"  dim {dim}, {options}: {[round(value, 3) for value in seen]}")
        trained = dim if options["algo"] == "dylora" else 1
        assert all(abs(value - wanted) < 0.01 * dim for value, wanted in zip(seen, (trained, trained, 1))), seen
PYTHON
