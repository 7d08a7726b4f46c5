#!/usr/bin/env bash
# Pillow: a TIFF is turned upright by its orientation as it is loaded, and a JPEG with the same tag is not.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io, PIL
from PIL import Image

seen = {}
for kind in ("TIFF", "JPEG", "PNG", "WEBP"):
    exif = Image.Exif(); exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(file, kind, exif=exif)
    picture = Image.open(file)
    before = picture.size
    picture.load()
    seen[kind] = (before, picture.size)
print("Pillow", PIL.__version__, "size when opened and when loaded:", seen)
assert seen["JPEG"] == seen["PNG"] == seen["WEBP"] == ((40, 20), (40, 20)), seen
assert seen["TIFF"][1] == (20, 40), seen
PYTHON
