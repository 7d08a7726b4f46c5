#!/usr/bin/env bash
# CLIP's tokenizer (transformers' and OpenCLIP's vocabulary): the comma between tags is a token of its own only behind a letter or digit. Behind ) ! ? it becomes one token with it, so that a character with a series in
# brackets ends in another token in the middle of a prompt than at its end, and ^_^ is split otherwise. What counts tags, cuts chunks or weighs parts at the token of the comma misses these. Expected:
# a tag has the same tokens wherever it stands.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile transformers==5.23.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import gzip, json, subprocess, sys, zipfile
from importlib.metadata import version
from pathlib import Path
import transformers
from transformers import AutoTokenizer

# CLIP's merges out of OpenCLIP's package, whose code is not needed.
folder = Path(sys.argv[1])
subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, "open_clip_torch==3.3.0"], check=True)
with zipfile.ZipFile(folder / "open_clip_torch-3.3.0-py3-none-any.whl") as wheel:
    lines = gzip.decompress(wheel.read("open_clip/bpe_simple_vocab_16e6.txt.gz")).decode().split("\n")
merges = lines[1 : 49152 - 256 - 2 + 1]
first = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
letters = first + [chr(256 + n) for n in range(256 - len(first))]
words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge.split()) for merge in merges), "<|startoftext|>", "<|endoftext|>"]
(folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
(folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
(folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"}))
tokenizer = AutoTokenizer.from_pretrained(folder)
print("transformers", transformers.__version__, "vocabulary of open_clip_torch 3.3.0:", len(words), "tokens, the comma is", tokenizer.convert_tokens_to_ids(",</w>"))
tags = {"smile": [",</w>"], "saber (fate)": ["),</w>"], "k-on!": ["!,</w>"], "^_^": [",</w>"]}
for tag, ending in tags.items():
    alone, between = tokenizer.tokenize(tag), tokenizer.tokenize(f"{tag}, solo")[:-1]
    print(f"  {tag}: alone {alone}, before another {between}")
    assert between[-1:] == ending, between
    assert (between[:-1] == alone) == (tag == "smile"), (alone, between)
assert tokenizer.tokenize("^_^") == ["^_^</w>"] and tokenizer.tokenize("^_^, solo")[:2] == ["^_", "^"]
assert tokenizer.convert_tokens_to_ids(",</w>") == 267 and len(words) == 49408
PYTHON
