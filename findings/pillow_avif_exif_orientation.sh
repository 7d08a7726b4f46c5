#!/usr/bin/env bash
# Pillow: saving an AVIF takes the orientation out of the Exif object that is given to it. The same object, or image.getexif() of the same image, is without it when the next file is saved: of an AVIF and a JPEG made
# of one picture, the second lies on its side. PNG, WebP and JPEG leave the object as it is. Expected: an argument is not changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import PIL
from PIL import Image, ImageOps

photo = io.BytesIO()
exif = Image.Exif()
exif[0x0112] = 6  # to be turned by a quarter
Image.new("RGB", (40, 24)).save(photo, "JPEG", exif=exif)

def sizes(*formats):
    """The upright sizes of the files that one opened photo is saved to, one after the other, with its EXIF."""
    seen = []
    with Image.open(photo) as image:
        for form in formats:
            file = io.BytesIO()
            image.save(file, form, exif=image.getexif())
            seen.append(ImageOps.exif_transpose(Image.open(file)).size)
    return seen

first, last = sizes("AVIF", "JPEG", "PNG"), sizes("WEBP", "JPEG", "PNG", "AVIF")
print("Pillow", PIL.__version__, "upright sizes of AVIF, JPEG, PNG:", first, "and of WebP, JPEG, PNG, AVIF:", last)
assert first == [(24, 40), (40, 24), (40, 24)], first
assert last == [(24, 40)] * 4, last
PYTHON
