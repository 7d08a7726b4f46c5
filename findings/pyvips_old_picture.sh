#!/usr/bin/env bash
# pyvips: a file that is written anew is not read anew: new_from_file of its path gives the picture that was there before, with the old size and pixels, in the same process. A tool that shrinks or repairs pictures in place and then reads them to hash or check them sees what it has replaced. A change of the file's time and
# length does not help; Pillow, and pyvips' own thumbnail and new_from_buffer, give the new one. Expected: the file as it is. new_from_file(path, revalidate=True), or pyvips.cache_set_max(0), helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pyvips==3.2.0 pyvips-binary==8.18.7 pillow==13.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os, sys
from pathlib import Path
import PIL, pyvips
from PIL import Image

red, blue = (255, 0, 0), (0, 0, 255)

def colour(picture):
    return (picture.width, tuple(round(part) for part in picture(1, 1)))

print("pyvips", pyvips.__version__, "libvips", ".".join(str(pyvips.version(part)) for part in range(3)), "pillow", PIL.__version__, "width and colour before and after the file was written anew:")
for suffix in ("png", "jpg", "webp"):
    path = Path(sys.argv[1]) / f"picture.{suffix}"
    Image.new("RGB", (64, 64), red).save(path, quality=100)
    before = colour(pyvips.Image.new_from_file(str(path)))
    Image.new("RGB", (32, 32), blue).save(path, quality=100)
    os.utime(path, (2_000_000_000, 2_000_000_000))
    after = colour(pyvips.Image.new_from_file(str(path)))
    with Image.open(path) as picture:
        by_pillow = (picture.width, picture.convert("RGB").getpixel((1, 1)))
    others = [colour(pyvips.Image.new_from_buffer(path.read_bytes(), "")), colour(pyvips.Image.thumbnail(str(path), 32)), colour(pyvips.Image.new_from_file(str(path), revalidate=True))]
    print(f"  {suffix}: {before} {after}; Pillow {by_pillow}; buffer, thumbnail, revalidate {others}")
    assert after == before and before[0] == 64, (before, after)
    assert by_pillow[0] == 32 and all(width == 32 and shown[2] > 250 for width, shown in others), others
PYTHON
