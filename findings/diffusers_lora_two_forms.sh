#!/usr/bin/env bash
# diffusers: convert_state_dict_to_diffusers, through which the training scripts save a LoRA, renames the keys of to_q, to_k, to_v and to_out and leaves those of proj_in, proj_out and convolutions as PEFT names
# them. Of a file with both, load_lora_weights takes the second kind alone: the attention's weights are lost. PEFT warns of layers without weights
# and says that this may be intended. Expected: all weights, or an error. Saving PEFT's names as they are helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/lora" "$folder/log" <<'PYTHON'
import logging, sys, warnings
from collections import Counter
import diffusers, peft, torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open

warnings.filterwarnings("ignore", message="While injecting")
diffusers.logging.disable_default_handler()
diffusers.logging.add_handler(logging.FileHandler(sys.argv[2]))

def pipeline():
    """A pipeline with SDXL's kinds of blocks, narrow."""
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16, use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return StableDiffusionXLPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), None, None, None, None, unet, DDIMScheduler())

def kinds(names):
    """The number of layers that have weights, by the last part of their names."""
    return dict(Counter(name.split(".lora")[0].split(".")[-1] for name in names if "lora_B" in name or "lora.up" in name))

def saved_and_loaded(targets, convert):
    trained = pipeline().unet
    trained.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights=False, target_modules=targets))
    StableDiffusionXLPipeline.save_lora_weights(sys.argv[1], convert(get_peft_model_state_dict(trained)))
    with safe_open(f"{sys.argv[1]}/pytorch_lora_weights.safetensors", "pt") as file:
        saved = kinds(file.keys())
    other = pipeline()
    other.load_lora_weights(sys.argv[1], adapter_name="lora")
    return saved, kinds(get_peft_model_state_dict(other.unet, adapter_name="lora"))

print("diffusers", diffusers.__version__, "peft", peft.__version__, "layers saved and loaded:")
seen = {}
for targets in (["to_q", "to_v"], ["proj_in"], ["to_q", "to_v", "proj_in"], ["to_q", "to_v", "conv1"]):
    for name, convert in (("converted", convert_state_dict_to_diffusers), ("as PEFT names them", dict)):
        saved, loaded = saved_and_loaded(targets, convert)
        print(f"  {targets} {name}: {saved}, {loaded}")
        lost = name == "converted" and len(targets) == 3
        assert set(saved) == set(targets), saved
        assert loaded == ({targets[2]: saved[targets[2]]} if lost else saved), (saved, loaded)
said = [line for line in open(sys.argv[2]).read().splitlines() if "text_encoder" not in line]  # which the pipeline has not
assert not said, said
PYTHON
