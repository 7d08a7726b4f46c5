#!/usr/bin/env bash
# Pillow: resize filters rows and columns one after the other, and rounds and clips 8-bit pixels between the two. Up to 12.3 the rows came first; 13.0 begins with the columns where the height shrinks much more than
# the width. So a portrait that is squeezed into a square, as the processors of CLIP-like models and taggers do, has other pixels with another Pillow, by up to 51 of 255 at hard edges; a landscape has the same.
# Features, hashes and golden values of the two versions differ for tall images only. Expected: the same pixels, or a difference that does not depend on the shape.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
for version in 12.3.0 13.0.0; do
    python3.11 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check --no-compile "pillow==$version" numpy==2.4.6
    "$folder/$version/bin/python" - "$folder/$version.npy" <<'PYTHON'
import sys
import numpy as np
import PIL
from PIL import Image

size = 32
pixels = {}
for name, width, height in (("landscape", 40, 30), ("portrait", 30, 40)):
    dots = np.random.default_rng(0).integers(0, 2, (height, width)).astype(np.uint8) * 255
    pixels[name] = np.asarray(Image.fromarray(dots).resize((size, size), Image.Resampling.LANCZOS))
    smooth = Image.fromarray(dots.astype(np.float32))  # nothing is clipped between the passes
    pixels[f"{name} in float"] = np.asarray(smooth.resize((size, size), Image.Resampling.LANCZOS))
print("Pillow", PIL.__version__)
with open(sys.argv[1], "wb") as file:
    np.savez(file, **pixels)
PYTHON
done
"$folder/13.0.0/bin/python" - "$folder/12.3.0.npy" "$folder/13.0.0.npy" <<'PYTHON'
import sys
import numpy as np

old, new = (np.load(path) for path in sys.argv[1:])
apart = {name: round(float(np.abs(old[name].astype(float) - new[name]).max()), 2) for name in old.files}
print("largest difference between the two versions:", apart)
assert apart["landscape"] == 0, apart
assert apart["portrait"] == 51, apart
assert apart["landscape in float"] == 0 and apart["portrait in float"] < 0.01, apart
PYTHON
