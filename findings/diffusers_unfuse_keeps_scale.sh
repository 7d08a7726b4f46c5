#!/usr/bin/env bash
# diffusers: after fuse_lora(lora_scale=0.5) and unfuse_lora(), the LoRA goes on at half its strength, and the same again fuses a quarter: trying scales one after the other multiplies them. Expected: unfuse_lora
# undoes fuse_lora. set_adapters afterwards sets the strength anew.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import diffusers, peft, torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig

diffusers.logging.set_verbosity_error()
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
)
pipe = StableDiffusionXLPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), None, None, None, None, unet, DDIMScheduler())
unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q"], init_lora_weights=False), adapter_name="lora")
layer = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
whole = float((layer.lora_B["lora"].weight @ layer.lora_A["lora"].weight).detach().norm())

def fused(scale):
    """The part of the LoRA that is fused into the weight at a scale, before it is unfused."""
    before = layer.get_base_layer().weight.detach().clone()
    pipe.fuse_lora(lora_scale=scale)
    change = float((layer.get_base_layer().weight.detach() - before).norm())
    pipe.unfuse_lora()
    assert torch.allclose(layer.get_base_layer().weight, before, atol=1e-6)
    return round(change / whole, 3)

parts = [fused(0.5), fused(0.5), fused(1.0)]
after = layer.scaling["lora"]
pipe.set_adapters("lora", 1.0)
print("diffusers", diffusers.__version__, "peft", peft.__version__, "fused at 0.5, at 0.5 and at 1.0:", parts, "strength afterwards:", after, "after set_adapters:", layer.scaling["lora"])
assert parts == [0.5, 0.25, 0.25], parts
assert after == 0.25 and layer.scaling["lora"] == 1, after
PYTHON
