#!/usr/bin/env bash
# diffusers: the name of an embedding (textual inversion) is found inside words, too: with one called hair, long_hair, chair and hairband are cut up, and get the embedding in the middle. Other programs read prompts by whole words. Of several vectors, the prompt is changed
# by text: chair becomes chair hair_1, with a token for each. Expected: the name alone, between spaces, commas and brackets.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON' 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
import json, sys
from pathlib import Path
import diffusers, torch, transformers
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

# A vocabulary in CLIP's form: bytes, bytes that end a word, the two marks.
folder = Path(sys.argv[1], "tokenizer"); folder.mkdir()
first = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
letters = first + [chr(256 + n) for n in range(256 - len(first))]
words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
(folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
(folder / "merges.txt").write_text("#version: 0.2\n")
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": 77}))

def prompts(vectors, *texts):
    """How many tokens of an embedding called hair each prompt gets."""
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2))
    unet = UNet2DConditionModel(block_out_channels=(16,), layers_per_block=1, norm_num_groups=8, cross_attention_dim=16, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
    pipe = StableDiffusionPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), text, AutoTokenizer.from_pretrained(folder), unet, DDIMScheduler(), None, None, requires_safety_checker=False)
    pipe.load_textual_inversion(torch.randn(vectors, 16), token="hair")
    converted = {prompt: pipe.maybe_convert_prompt(prompt, pipe.tokenizer) for prompt in texts}
    return {prompt: (text, sum(id >= len(words) for id in pipe.tokenizer(text)["input_ids"])) for prompt, text in converted.items()}

texts = "1girl, hair, solo", "1girl, solo", "long_hair", "chair", "hairband"
one, two = prompts(1, *texts), prompts(2, *texts)
print("diffusers", diffusers.__version__, "transformers", transformers.__version__, "prompts as converted, and tokens of the embedding, of one vector and of two:")
for prompt in texts:
    print(f"  {prompt!r}: {one[prompt]}, {two[prompt]}")
assert [count for _, count in one.values()] == [1, 0, 1, 1, 1], one
assert [count for _, count in two.values()] == [2, 0, 2, 2, 2], two
assert two["chair"][0] == "chair hair_1", two
PYTHON
