#!/usr/bin/env bash
# LyCORIS: merge_to of a LoHa or LoKr trained with use_scalar leaves the trained scalar out: a network whose scalar has come to 0.05 is merged twenty times too strong, and with a scalar below zero, the other way round. The file that save_weights writes has it in its
# factors, and so has a LoCon merged. Expected: the model with the network applied. Merging what was loaded from the file helps.
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
x = torch.randn(16, 64, generator=torch.Generator().manual_seed(3))

def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(64, 64)).requires_grad_(False)

def strengths(algo, scalar):
    """What merging gives beside the network applied, as a factor: of the network, and of one loaded from its weights."""
    layers = model()
    base = layers(x)
    network = create_lycoris(layers, 1.0, linear_dim=64, linear_alpha=64, algo=algo, factor=8, full_matrix=True, use_scalar=True)
    network.apply_to()
    random = torch.Generator().manual_seed(2)
    for name, weight in network.named_parameters():
        if "org_module" not in name:
            weight.data = torch.randn(weight.shape, generator=random) / 8
    network.loras[0].scalar.data.fill_(scalar)
    network.eval()
    applied = (layers(x) - base).detach()
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.restore()
    network.merge_to(1.0)
    other = model()
    create_lycoris_from_weights(1.0, None, other, weights_sd=state)[0].merge_to(1.0)
    return [round(float(((merged(x) - base) * applied).sum() / (applied**2).sum()), 3) for merged in (layers, other)]

print("lycoris-lora", version("lycoris-lora"), "strength merged beside applied, of the network itself and of its weights loaded:")
for algo in ("locon", "loha", "lokr"):
    for scalar in (1.0, 0.05, -0.5):
        itself, loaded = strengths(algo, scalar)
        print(f"  {algo}, scalar {scalar}: {itself}, {loaded}")
        assert abs(loaded - 1) < 1e-3, loaded
        assert abs(itself - (1 if algo == "locon" else 1 / scalar)) < 1e-2, itself
PYTHON
