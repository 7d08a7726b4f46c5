#!/usr/bin/env bash
# diffusers: of a LoRA in the form of sd-scripts whose layers have different alphas, those of the attention (to_q, to_k, to_v, to_out) are ignored, and these layers get the commonest alpha of
# the file: files resized to a rank for each layer, or with an alpha for each block, act with another strength. Layers beside the attention are read rightly. Expected: alpha / rank of each
# layer, as sd-scripts, ComfyUI and the sd-webui have it. PEFT warns of keys without a layer; the image comes all the same. Multiplying alpha / rank into lora_up and leaving the alphas out helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import diffusers, peft, torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

diffusers.logging.set_verbosity_error()
unet = UNet2DConditionModel(  # SDXL's kinds of blocks, narrow
    sample_size=8, block_out_channels=(32, 64, 64), layers_per_block=2, norm_num_groups=8, attention_head_dim=8, cross_attention_dim=16,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64,
)
pipe = StableDiffusionXLPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), None, None, None, None, unet, DDIMScheduler())
block = unet.down_blocks[1].attentions[0].transformer_blocks[0]
layers = {  # rank and alpha of each layer
    "attn1.to_q": (8, 8.0), "attn1.to_k": (8, 1.0), "attn1.to_out.0": (8, 4.0), "attn2.to_v": (4, 2.0), "ff.net.0.proj": (8, 8.0), "ff.net.2": (4, 1.0),
}
file = {}
for name, (rank, alpha) in layers.items():
    outputs, inputs = block.get_submodule(name).weight.shape
    key = "lora_unet_input_blocks_4_1_transformer_blocks_0_" + name.replace(".", "_")
    file |= {f"{key}.lora_down.weight": torch.randn(rank, inputs), f"{key}.lora_up.weight": torch.randn(outputs, rank), f"{key}.alpha": torch.tensor(alpha)}
pipe.load_lora_weights(file, adapter_name="lora")
print("diffusers", diffusers.__version__, "peft", peft.__version__)
read = {}
for name, (rank, alpha) in layers.items():
    read[name] = block.get_submodule(name).scaling["lora"]
    print(f"  {name}: rank {rank}, alpha {alpha:g}, so {alpha / rank:g} in the file; applied with {read[name]:g}")
    assert block.get_submodule(name).r["lora"] == rank, name
assert read == {"attn1.to_q": 1, "attn1.to_k": 1, "attn1.to_out.0": 1, "attn2.to_v": 2, "ff.net.0.proj": 1, "ff.net.2": 0.25}, read
PYTHON
