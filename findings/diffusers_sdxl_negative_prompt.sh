#!/usr/bin/env bash
# diffusers: SDXL's pipeline takes zeros for a negative prompt that is left out, and the encoded text for one that is "", as a form with an empty field gives it: other pictures of the same seed, though the option is called force_zeros_for_empty_prompt.
# And negative_prompt_2 without negative_prompt is dropped without a word; prompt_2 is not. Expected: an empty negative prompt is none, and the second one is used, or an error.
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
config = CLIPTextConfig(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, projection_dim=16)
unet = UNet2DConditionModel(
    block_out_channels=(16,), layers_per_block=1, norm_num_groups=8, cross_attention_dim=32, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=64,
)
vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=8)
pipe = StableDiffusionXLPipeline(vae, CLIPTextModel(config), CLIPTextModelWithProjection(config), tokenizer, tokenizer, unet, EulerDiscreteScheduler())

def size(**negative):
    """The norm of the negative prompt's vectors."""
    return round(float(pipe.encode_prompt("1girl", device="cpu", **negative)[1].detach().norm()), 2)

seen = {str(negative): size(**negative) for negative in ({}, {"negative_prompt": ""}, {"negative_prompt_2": "lowres"}, {"negative_prompt": "", "negative_prompt_2": "lowres"})}
whole, second = (pipe.encode_prompt("", prompt_2=text, device="cpu")[0] for text in (None, "solo"))
print("diffusers", diffusers.__version__, "norm of the vectors for the negative prompt:", seen)
assert pipe.config.force_zeros_for_empty_prompt
assert seen["{}"] == seen["{'negative_prompt_2': 'lowres'}"] == 0, seen
assert seen["{'negative_prompt': ''}"] > 1 and seen["{'negative_prompt': '', 'negative_prompt_2': 'lowres'}"] > 1, seen
assert not torch.equal(whole, second)
PYTHON
