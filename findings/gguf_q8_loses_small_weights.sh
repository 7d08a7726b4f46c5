#!/usr/bin/env bash
# gguf: Q8_0, the most exact of its quantised types, is the least exact for small weights: the scale of a block is its largest weight / 127 in float16, which is coarse below 0.00006 and zero below 0.00000003. Of weights around 0.00001 it is as far off as Q4_0,
# and of weights around 0.000001 it makes zeros, where Q4_0 is off by a tenth: its scale is the largest weight / 8. No error and no warning. Expected: eight bits are at least as exact as four.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile gguf==0.19.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

weights = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)

def error(size, name):
    """The error of weights of a size, read back from a quantised type, as a share of that size."""
    scaled, kind = weights * np.float32(size), GGMLQuantizationType[name]
    return round(float(np.sqrt(np.mean((dequantize(quantize(scaled, kind), kind) - scaled) ** 2)) / size), 3)

print("gguf", version("gguf"), "error as a share of the size of the weights:")
seen = {}
for size in (1e-2, 1e-4, 1e-5, 5e-6, 1e-6):
    seen[size] = {name: error(size, name) for name in ("Q8_0", "Q4_0", "F16", "BF16")}
    print(f"  {size}: {seen[size]}")
assert seen[1e-2]["Q8_0"] < 0.01 < 0.08 < seen[1e-2]["Q4_0"] < 0.1, seen
assert seen[1e-5]["Q8_0"] > seen[1e-5]["Q4_0"] * 0.9, seen
assert seen[5e-6]["Q8_0"] > 2 * seen[5e-6]["Q4_0"], seen
assert seen[1e-6]["Q8_0"] > 0.98 and seen[1e-6]["Q4_0"] < 0.12, seen
PYTHON
