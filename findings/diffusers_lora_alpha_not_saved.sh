#!/usr/bin/env bash
# diffusers: save_lora_weights writes the factors alone; the scale (lora_alpha / r, or with use_rslora) is lost unless its *_lora_adapter_metadata are given too, and load_lora_weights takes 1: a LoRA trained with rank 16 and alpha
# 4 comes back four times as strong. convert_state_dict_to_kohya writes alpha = rank, too, whatever was trained. Expected: the LoRA that was trained, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/lora" <<'PYTHON'
import sys
import diffusers, peft
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict

diffusers.logging.set_verbosity_error()
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"

def pipeline():
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    return StableDiffusionXLPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), None, None, None, None, unet, DDIMScheduler())

print("diffusers", diffusers.__version__, "peft", peft.__version__, "rank 16, scale trained, of the file as loaded, of the file with metadata, and alpha in kohya's form:")
for options in ({"lora_alpha": 16}, {"lora_alpha": 4}, {"lora_alpha": 16, "use_rslora": True}):
    trained = pipeline().unet
    trained.add_adapter(LoraConfig(r=16, target_modules=["to_q"], init_lora_weights=False, **options))
    weights = get_peft_model_state_dict(trained)
    scales = [trained.get_submodule(LAYER).scaling["default"]]
    for metadata in (None, trained.peft_config["default"].to_dict()):
        StableDiffusionXLPipeline.save_lora_weights(sys.argv[1], weights, unet_lora_adapter_metadata=metadata)
        other = pipeline()
        other.load_lora_weights(sys.argv[1], adapter_name="lora")
        scales.append(other.unet.get_submodule(LAYER).scaling["lora"])
    alphas = {float(tensor) for name, tensor in convert_state_dict_to_kohya(weights).items() if name.endswith("alpha")}
    print(f"  {options}: {scales[0]:g}, {scales[1]:g}, {scales[2]:g}; {alphas}")
    assert scales[1] == 1 and scales[2] == scales[0] and alphas == {16}, (scales, alphas)
    assert (scales[0] == 1) == (options == {"lora_alpha": 16}), scales
PYTHON
