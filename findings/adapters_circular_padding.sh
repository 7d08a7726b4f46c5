#!/usr/bin/env bash
# PEFT, LyCORIS: over a convolution with padding_mode="circular", by which seamless textures are drawn (or "reflect", "replicate"), LoRA, DoRA, LoHa and LoKr pad with zeros where the layer goes round: at the border the adapter acts otherwise than in the merged model, and the seam that the padding is to close is there again. BOFT and HRA
# of PEFT pad the layer itself with zeros, from the first step, and so does LyCORIS' full. Nothing says so. Expected: the layer's padding, as the merged model has it, or an error, as of groups.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 lycoris-lora==4.1.3 peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
import logging
from importlib.metadata import version
import peft, torch
from lycoris import create_lycoris

logging.disable(logging.WARNING)
image = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))

def model(padding_mode):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3, padding=1, padding_mode=padding_mode)).eval()

def trained(parts):
    random = torch.Generator().manual_seed(2)
    for weight in parts:
        weight.data = 0.1 * torch.randn(weight.shape, generator=random)

def off(first, second):
    """The largest difference of two pictures within, and on the border."""
    difference = (first - second).abs().amax((0, 1))
    within = difference[1:-1, 1:-1].max().item()
    difference[1:-1, 1:-1] = 0
    return round(within, 4), round(difference.max().item(), 4)

def by_peft(options, padding_mode):
    base = model(padding_mode)(image)
    network = peft.get_peft_model(model(padding_mode), options).eval()
    untrained = off(network(image), base)
    trained(weight for weight in network.parameters() if weight.requires_grad)
    applied = network(image)
    return untrained, off(applied, network.merge_and_unload()(image))

def by_lycoris(algo, padding_mode):
    layers = model(padding_mode)
    base = layers(image)
    network = create_lycoris(layers, 1.0, linear_dim=4, linear_alpha=4, conv_dim=4, conv_alpha=4, algo=algo, factor=4)
    network.apply_to()
    network.eval()
    untrained = off(layers(image), base)
    trained(weight for name, weight in network.named_parameters() if weight.requires_grad and "alpha" not in name and "scalar" not in name)
    applied = layers(image)
    network.restore()
    network.merge_to(1.0)
    return untrained, off(applied, layers(image))

kinds = {
    "PEFT LoRA": (by_peft, peft.LoraConfig(r=4, target_modules=["0"])), "PEFT DoRA": (by_peft, peft.LoraConfig(r=4, target_modules=["0"], use_dora=True)),
    "PEFT LoHa": (by_peft, peft.LoHaConfig(r=4, alpha=4, target_modules=["0"])), "PEFT LoKr": (by_peft, peft.LoKrConfig(r=4, alpha=4, target_modules=["0"])),
    "PEFT BOFT": (by_peft, peft.BOFTConfig(boft_block_size=4, target_modules=["0"])), "PEFT HRA": (by_peft, peft.HRAConfig(r=4, target_modules=["0"])),
    "LyCORIS LoCon": (by_lycoris, "locon"), "LyCORIS full": (by_lycoris, "full"),
}
print("peft", peft.__version__, "lycoris-lora", version("lycoris-lora"), "torch", torch.__version__, "off within and on the border, untrained from the layer, trained from the merged:")
for name, (run, options) in kinds.items():
    for padding_mode in ("zeros", "circular", "reflect"):
        untrained, merged = run(options, padding_mode)
        print(f"  {name}, {padding_mode}: {untrained} {merged}")
        assert max(untrained[0], merged[0]) < 1e-3, name
        if padding_mode == "zeros":
            assert max(untrained[1], merged[1]) < 1e-3, name
        else:
            assert merged[1] > 0.01, name
            assert (untrained[1] > 0.1) == (name in ("PEFT BOFT", "PEFT HRA", "LyCORIS full")), name
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/program.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
