#!/usr/bin/env bash
# transformers: a CLIP text model with eos_token_id 2, as both of SDXL are published, pools at the largest token id, not at the end of the text. The token of an embedding (textual inversion) comes after
# 49407, so with it in a prompt the pooled vector of SDXL is of the text up to that token, and all tags behind it are without effect there. Expected: pooled at the end, as with eos_token_id 49407.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 transformers==5.23.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch, transformers
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

START, END, NEW = 49406, 49407, 49408  # of CLIP's vocabulary, and the first token that is added to it
prompts = {"without": [START, 320, 900, 500, END], "with": [START, 320, NEW, 500, END]}
changes = {}
for end in (2, END):
    torch.manual_seed(0)
    config = CLIPTextConfig(vocab_size=NEW + 1, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, projection_dim=8, bos_token_id=0, eos_token_id=end, pad_token_id=1)
    model = CLIPTextModelWithProjection(config).eval()
    for name, ids in prompts.items():
        ids = torch.tensor([ids + [END] * (77 - len(ids))])
        other = torch.where(ids == 500, 700, ids)
        with torch.no_grad():
            changes[end, name] = float((model(ids).text_embeds - model(other).text_embeds).abs().max())
print("transformers", transformers.__version__, "change of the pooled vector when the last word changes, by eos_token_id and whether the new token is in the prompt:")
for (end, name), change in changes.items():
    print(f"  eos_token_id {end}, {name} the new token: {change:.3f}")
assert changes.pop((2, "with")) == 0
assert min(changes.values()) > 0.01, changes
PYTHON
