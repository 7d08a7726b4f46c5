#!/usr/bin/env bash
# pillow-jxl-plugin: a JPEG with an orientation that is saved as JPEG XL gets it in the file's Exif box alone, and its header says upright: libjxl, by which browsers and viewers draw, goes by the header, and shows the photo on its side, as the format (ISO/IEC 18181) has it. Pillow's exif_transpose
# turns it, so that one who checks with Pillow sees nothing. Transcoding the JPEG writes the header too, and is upright in both. Expected: the orientation in the header.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0 pillow-jxl-plugin==1.3.8 imagecodecs==2026.3.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version
import imagecodecs, numpy, PIL, pillow_jxl
from PIL import Image, ImageOps

def saved(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()

pixels = numpy.zeros((16, 32, 3), numpy.uint8)
pixels[:, :16] = 255, 0, 0
exif = Image.Exif()
exif[0x0112] = 6
photo = saved(Image.fromarray(pixels), "JPEG", exif=exif, quality=95)
files = {
    "saved with Pillow": saved(Image.open(io.BytesIO(photo)), "JXL"),
    "saved with exif=": saved(Image.open(io.BytesIO(photo)), "JXL", exif=exif.tobytes()),
    "transcoded": imagecodecs.jpegxl_encode_jpeg(photo),
}
print("pillow-jxl-plugin", version("pillow-jxl-plugin"), "Pillow", PIL.__version__, "imagecodecs", imagecodecs.__version__, imagecodecs.jpegxl_version())
seen = {}
for name, file in files.items():
    height, width, _ = imagecodecs.jpegxl_decode(file).shape
    seen[name] = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).size, (width, height)
    print(f"  {name}: by Pillow's exif_transpose {seen[name][0]}, by libjxl {seen[name][1]}")
assert ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).size == (16, 32)
assert seen == {"saved with Pillow": ((16, 32), (32, 16)), "saved with exif=": ((16, 32), (32, 16)), "transcoded": ((16, 32), (16, 32))}, seen
PYTHON
