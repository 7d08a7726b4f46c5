#!/usr/bin/env bash
# imagecodecs: spng_decode, its quick reader of PNG, leaves out the transparency of a palette, of a grey level or of one colour (tRNS), and gives three channels or one; png_decode and apng_decode of the same package give it as a last channel. A sticker with a palette, as pngquant makes them, stands before the
# colour that was hidden, and nothing says so. RGBA comes back alike. Expected: the same picture from all three.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import imagecodecs
from PIL import Image

def png(picture, **options):
    """A picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()

palette = Image.new("P", (4, 4), 1)
palette.putpalette([250, 40, 120, 0, 255, 0])
files = {
    "palette": png(palette, transparency=1),
    "grey": png(Image.new("L", (4, 4), 7), transparency=7),
    "colour": png(Image.new("RGB", (4, 4), (0, 255, 0)), transparency=(0, 255, 0)),
    "alpha": png(Image.new("RGBA", (4, 4), (0, 255, 0, 0))),
}
print("imagecodecs", imagecodecs.__version__, "shape of a picture of which nothing shows:")
seen = {}
for name, content in files.items():
    shapes = seen[name] = {reader: getattr(imagecodecs, f"{reader}_decode")(content).shape for reader in ("png", "apng", "spng")}
    assert Image.open(io.BytesIO(content)).convert("RGBA").getpixel((0, 0))[3] == 0
    assert imagecodecs.png_decode(content)[0, 0, -1] == 0
    print(f"  {name}: {shapes}")
assert seen == {
    "palette": {"png": (4, 4, 4), "apng": (4, 4, 4), "spng": (4, 4, 3)},
    "grey": {"png": (4, 4, 2), "apng": (4, 4, 2), "spng": (4, 4)},
    "colour": {"png": (4, 4, 4), "apng": (4, 4, 4), "spng": (4, 4, 3)},
    "alpha": {"png": (4, 4, 4), "apng": (4, 4, 4), "spng": (4, 4, 4)},
}
PYTHON
