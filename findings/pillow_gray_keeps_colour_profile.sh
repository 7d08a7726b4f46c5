#!/usr/bin/env bash
# Pillow: convert keeps the ICC profile of the mode that it leaves, and saving a PNG, TIFF or AVIF writes it: a picture with an sRGB or Display P3 profile that is made grey, for a mask or a sketch, becomes a file of grey with a profile for three colours,
# which the formats do not allow, and which Pillow's own ImageCms refuses. Expected: the profile goes where it no longer fits, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import PIL
from PIL import Image, ImageCms

srgb = ImageCms.createProfile("sRGB")
picture = Image.new("RGB", (8, 8), "red")
picture.info["icc_profile"] = ImageCms.ImageCmsProfile(srgb).tobytes()
seen = {}
for form in ("PNG", "TIFF", "AVIF"):
    for mode in ("RGB", "L"):
        file = io.BytesIO()
        picture.convert(mode).save(file, form)
        again = Image.open(file)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(again.info["icc_profile"]))
        try:
            ImageCms.profileToProfile(again, profile, srgb, outputMode="RGB")
            result = "converted"
        except ImageCms.PyCMSError as error:
            result = str(error)
        seen[form, mode] = again.mode, profile.profile.xcolor_space.strip(), result
print("Pillow", PIL.__version__, "mode and profile of the file, and what ImageCms makes of them:")
for key, value in seen.items():
    print(f"  {key}: {value}")
assert all(seen[form, "RGB"] == ("RGB", "RGB", "converted") for form in ("PNG", "TIFF", "AVIF")), seen
assert all(seen[form, "L"] == ("L", "RGB", "cannot build transform") for form in ("PNG", "TIFF", "AVIF")), seen
PYTHON
