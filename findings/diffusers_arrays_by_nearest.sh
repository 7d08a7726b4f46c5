#!/usr/bin/env bash
# diffusers: pictures given to a pipeline or a VaeImageProcessor are resized by Lanczos where they are PIL images, and by nearest neighbour where they are arrays or tensors, without smoothing: a picture of 1024 pixels shrunk to 512 keeps every second pixel, and lines break.
# The option resample has no effect there. Expected: the same picture, whatever holds it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import diffusers, numpy as np, torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

lines = np.full((64, 64, 3), 255, np.uint8)
lines[:, 1::4] = 0  # a quarter is black
values = lines.astype(np.float32) / 255
forms = {"PIL": Image.fromarray(lines), "array": values, "tensor": torch.from_numpy(values).permute(2, 0, 1)}
seen = {}
for resample in ("lanczos", "bilinear"):
    processor = VaeImageProcessor(resample=resample)
    small = {name: processor.preprocess(picture, 16, 16) for name, picture in forms.items()}
    seen[resample] = {name: round(float(pixels.mean() + 1) / 2, 3) for name, pixels in small.items()}
    picked = torch.from_numpy(values[::4, ::4]).permute(2, 0, 1) * 2 - 1
    assert torch.equal(small["array"][0], picked) and torch.equal(small["tensor"][0], picked)
print("diffusers", diffusers.__version__, "brightness of a picture of 0.75, shrunk to a quarter:", seen)
for brightness in seen.values():
    assert abs(brightness["PIL"] - 0.75) < 0.02 and brightness["array"] == brightness["tensor"] == 1, seen
PYTHON
