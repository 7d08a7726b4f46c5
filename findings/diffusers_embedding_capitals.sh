#!/usr/bin/env bash
# diffusers: of an embedding of several vectors (textual inversion) whose name has a capital letter, as EasyNegative, the prompt gets the first vector alone: the tokenizer of transformers 5 gives the name in small letters, under which
# diffusers does not know it. Nothing says so; the same file under a name in small letters acts with all of them. Expected: all vectors, or an error.
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

def tokens(name):
    """The new tokens of a prompt that is the name of an embedding of four vectors."""
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2))
    unet = UNet2DConditionModel(block_out_channels=(16,), layers_per_block=1, norm_num_groups=8, cross_attention_dim=16, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
    pipe = StableDiffusionPipeline(AutoencoderKL(block_out_channels=(8,), norm_num_groups=8), text, AutoTokenizer.from_pretrained(folder), unet, DDIMScheduler(), None, None, requires_safety_checker=False)
    pipe.load_textual_inversion(torch.randn(4, 16), token=name)
    ids = pipe.tokenizer(pipe.maybe_convert_prompt(name, pipe.tokenizer))["input_ids"]
    assert pipe.tokenizer.tokenize(name) == [name.lower()] and name in pipe.tokenizer.get_added_vocab()
    return [id - len(words) for id in ids if id >= len(words)]

seen = {name: tokens(name) for name in ("easynegative", "EasyNegative", "<miku>", "<Miku>")}
print("diffusers", diffusers.__version__, "transformers", transformers.__version__, "vectors of four that are used:", seen)
assert seen == {"easynegative": [0, 1, 2, 3], "EasyNegative": [0], "<miku>": [0, 1, 2, 3], "<Miku>": [0]}, seen
PYTHON
