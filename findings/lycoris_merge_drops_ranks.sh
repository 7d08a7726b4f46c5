#!/usr/bin/env bash
# LyCORIS: merge_to of a network with rank_dropout that is not in eval mode, as a new one and one in training never is, leaves out ranks by chance and merges the rest for good: each merge is another model, with half of what was trained at a rank_dropout of 0.5.
# PEFT merges all, whatever the mode. Expected: dropout acts on training steps, not on what is merged.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 lycoris-lora==4.1.3 peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
from importlib.metadata import version
import peft, torch
from lycoris import create_lycoris
from peft import LoHaConfig, get_peft_model

logging.disable(logging.WARNING)

def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(64, 96, bias=False))

def trained(module):
    random = torch.Generator().manual_seed(2)
    for name, weight in module.named_parameters():
        if weight.requires_grad and "org_module" not in name:
            weight.data = torch.randn(weight.shape, generator=random)

def merged(algo, training, seed):
    """The change of the weight by merging a network of LyCORIS."""
    layers = model()
    network = create_lycoris(layers, 1.0, linear_dim=4, linear_alpha=4, algo=algo, factor=4, rank_dropout=0.5)
    network.apply_to()
    for layer in network.loras:
        trained(layer)
    network.restore()
    assert network.training
    network.train(training)
    torch.manual_seed(seed)
    network.merge_to(1.0)
    return layers[0].weight.detach() - model()[0].weight.detach()

def by_peft(training):
    layers = get_peft_model(model(), LoHaConfig(r=4, alpha=4, rank_dropout=0.5, target_modules=["0"]))
    trained(layers)
    return layers.train(training).merge_and_unload()[0].weight.detach() - model()[0].weight.detach()

print("lycoris-lora", version("lycoris-lora"), "peft", peft.__version__, "three merges of one network with rank_dropout 0.5, distance from the one in eval mode:")
for algo in ("locon", "loha", "lokr"):
    whole = merged(algo, False, 0)
    off = [float((merged(algo, True, seed) - whole).norm() / whole.norm()) for seed in range(3)]
    print(f"  {algo}: {[round(part, 3) for part in off]}")
    assert torch.equal(merged(algo, False, 1), whole)
    assert min(off) > 0.3 and len(set(off)) > 1, off
other = float((by_peft(True) - by_peft(False)).norm())
print("  PEFT's LoHa:", other)
assert other == 0 and float(by_peft(True).norm()) > 1
PYTHON
