#!/usr/bin/env bash
# safetensors: the same tensors with the same metadata are other bytes at each saving: the entries of __metadata__ come in any order. The SHA-256 of a LoRA, by which Civitai and the web interfaces know a file, differs between
# two savings of one network, also in one process. Without metadata, or with one entry, the bytes are the same. Expected: the same bytes, as the tensors are put in order.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import json
from hashlib import sha256
from importlib.metadata import version
import numpy as np
from safetensors.numpy import save

tensors = {"lora_unet_mid_block.alpha": np.float32([4]), "lora_unet_mid_block.lora_down.weight": np.zeros((4, 8), np.float32)}
metadata = {"ss_network_dim": "4", "ss_network_alpha": "4", "ss_base_model_version": "sdxl_base_v1-0", "ss_seed": "1", "ss_epoch": "1", "modelspec.title": "example"}

def written(count):
    """The different hashes of twenty savings with some entries of metadata, and the different orders of the entries."""
    entries = dict([*metadata.items()][:count])
    files = [save(tensors, metadata=entries or None) for _ in range(20)]
    headers = [json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")]) for file in files]
    assert all(header.get("__metadata__", {}) == entries for header in headers)
    return len({sha256(file).digest() for file in files}), len({tuple(header.get("__metadata__", ())) for header in headers})

seen = {count: written(count) for count in (0, 1, 6)}
print("safetensors", version("safetensors"), "different hashes of 20 savings, and orders of metadata, by number of entries:", seen)
assert seen[0] == seen[1] == (1, 1), seen
assert min(seen[6]) > 5, seen
PYTHON
