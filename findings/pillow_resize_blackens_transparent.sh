#!/usr/bin/env bash
# Pillow: resizing, reducing, thumbnailing or rotating a picture with transparency makes the colours of its transparent parts black; in its own size, or by NEAREST, they stay. A reader that drops alpha by convert("RGB"), as training scripts do, then sees a
# character on white where the picture had the size of its bucket, and on black where it was larger: the same set has both. convert before resize gives white. Expected: one colour, whatever the size.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import PIL
from PIL import Image

picture = Image.new("RGBA", (64, 64), (255, 255, 255, 0))  # as drawing programs save an empty canvas
picture.paste((200, 30, 60, 255), (16, 16, 48, 48))
small = picture.copy()
small.thumbnail((32, 32))
ways = {
    "resize to its own size": picture.resize((64, 64), Image.Resampling.LANCZOS), "resize to a half": picture.resize((32, 32), Image.Resampling.LANCZOS),
    "resize to twice": picture.resize((128, 128), Image.Resampling.LANCZOS), "by NEAREST": picture.resize((32, 32), Image.Resampling.NEAREST),
    "reduce": picture.reduce(2), "thumbnail": small, "rotate, bicubic": picture.rotate(5, Image.Resampling.BICUBIC),
    "convert, then resize": picture.convert("RGB").resize((32, 32), Image.Resampling.LANCZOS),
}
seen = {name: result.convert("RGB").getpixel((result.width // 2, 4)) for name, result in ways.items()}
print("Pillow", PIL.__version__, "colour of the background after convert('RGB'):")
for name, colour in seen.items():
    print(f"  {name}: {colour}")
white = {"resize to its own size", "by NEAREST", "convert, then resize"}
assert all(colour == ((255,) * 3 if name in white else (0, 0, 0)) for name, colour in seen.items()), seen
PYTHON
