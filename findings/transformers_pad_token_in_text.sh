#!/usr/bin/env bash
# transformers: with the pad token that SDXL's second tokenizer is published with, every ! in a text becomes token 0.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json, sys, transformers
from pathlib import Path

# A vocabulary in CLIP's form: bytes, bytes that end a word, the two marks. "!" is id 0, "!</w>" is id 256.
folder = Path(sys.argv[1], "tokenizer"); folder.mkdir()
first = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
letters = first + [chr(256 + n) for n in range(256 - len(first))]
words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
(folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
(folder / "merges.txt").write_text("#version: 0.2\n")
config = {"tokenizer_class": "CLIPTokenizer", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "model_max_length": 77}
ids = {}
for pad in ("<|endoftext|>", "!"):
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": pad}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids[pad] = tokenizer("love!", add_special_tokens=False)["input_ids"]
print("transformers", transformers.__version__, "ids of 'love!' by pad token:", ids)
assert ids["<|endoftext|>"][-1] == 256, ids
assert ids["!"][-1] == 0, ids
PYTHON
