#!/usr/bin/env bash
# diffusers: clip_skip of SDXL's pipelines moves the prompt to an earlier layer of the text encoders, and leaves the negative prompt at the last but one: guidance then takes the difference of two layers, too, and a prompt minus itself is not nothing. Expected: both at the same layer, as
# in the web interfaces whose option it takes up.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON' 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
import json, sys
from pathlib import Path
import diffusers, torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

# A vocabulary in CLIP's form: bytes, bytes that end a word, the two marks.
folder = Path(sys.argv[1], "tokenizer"); folder.mkdir()
first = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
letters = first + [chr(256 + n) for n in range(256 - len(first))]
words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
(folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
(folder / "merges.txt").write_text("#version: 0.2\n")
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": 77}))
tokenizer = AutoTokenizer.from_pretrained(folder)
torch.manual_seed(0)
config = CLIPTextConfig(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=4, num_attention_heads=2, projection_dim=16)
unet = UNet2DConditionModel(
    block_out_channels=(16,), layers_per_block=1, norm_num_groups=8, cross_attention_dim=32, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64,
)
vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=8)
pipe = StableDiffusionXLPipeline(vae, CLIPTextModel(config), CLIPTextModelWithProjection(config), tokenizer, tokenizer, unet, EulerDiscreteScheduler())
vectors = {skip: pipe.encode_prompt("1girl", negative_prompt="1girl", device="cpu", clip_skip=skip)[:2] for skip in (None, 1)}
apart = {skip: round(float((positive - negative).detach().norm() / positive.norm()), 3) for skip, (positive, negative) in vectors.items()}
print("diffusers", diffusers.__version__, "distance of a prompt from the same as negative prompt, by clip_skip:", apart)
assert torch.equal(vectors[None][1], vectors[1][1]) and not torch.equal(vectors[None][0], vectors[1][0])
assert apart[None] == 0 and apart[1] > 0.01, apart
PYTHON
