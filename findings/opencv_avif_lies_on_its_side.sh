#!/usr/bin/env bash
# OpenCV: imread and imdecode turn JPEG, PNG and WebP upright by their orientation, and leave an AVIF on its side, whose irot and imir are part of the picture by HEIF's rules (ISO/IEC 23008-12): a photo saved in the four
# formats has two sizes. Pillow's exif_transpose turns all four. Expected: upright, or none of them.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path
import cv2, PIL
from PIL import Image, ImageOps

seen = {}
for form in ("JPEG", "PNG", "WEBP", "AVIF"):
    path, exif = Path(sys.argv[1], f"photo.{form.lower()}"), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (40, 24)).save(path, exif=exif)
    with Image.open(path) as opened:
        seen[form] = ImageOps.exif_transpose(opened).size, cv2.imread(str(path)).shape[1::-1]
assert b"irot" in Path(sys.argv[1], "photo.avif").read_bytes()
print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "width and height by each:", seen)
assert all(seen[form] == ((24, 40), (24, 40)) for form in ("JPEG", "PNG", "WEBP")), seen
assert seen["AVIF"] == ((24, 40), (40, 24)), seen
PYTHON
