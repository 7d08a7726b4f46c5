#!/usr/bin/env bash
# Pillow: resize(box=…) and crop(resize()) of the same picture differ by up to 20 of 255 on noise.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import numpy, PIL
from PIL import Image

noise = numpy.random.default_rng(0).integers(0, 256, (700, 500), dtype=numpy.uint8)
picture = Image.fromarray(noise)
# Scale by 0.64, and keep 320 by 320 of the 320 by 448.
whole = picture.resize((320, 448), Image.Resampling.LANCZOS).crop((0, 64, 320, 384))
part = picture.resize((320, 320), Image.Resampling.LANCZOS, box=(0, 100, 500, 600))
difference = numpy.abs(numpy.asarray(whole, dtype=int) - numpy.asarray(part, dtype=int))
rows = (difference.max(1) > 1).sum()
print("Pillow", PIL.__version__, "largest difference", difference.max(), "rows that differ by more than 1:", rows, "of 320")
assert difference.max() > 1, "they agree"
PYTHON
