#!/usr/bin/env bash
# ImageHash, Pillow: the hashes are taken of the colours under transparency too, which nobody sees, and a lossless WebP is written without them (exact=False is the default): of a character on a transparent ground, the PNG and the lossless WebP made of it, alike in every pixel that shows, are 22 of 64 apart by phash, more
# than pictures that are said to be copies. The same picture without transparency is 0 apart, and so is AVIF. Expected: one hash for what looks the same. Pasting it on a ground before hashing, or exact=True, helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile imagehash==4.3.2 pillow==13.0.0 numpy==2.4.6 scipy==1.17.1 pywavelets==1.9.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
from importlib.metadata import version
import imagehash, numpy, PIL
from PIL import Image, ImageDraw

def character(alpha):
    picture = Image.new("RGBA", (128, 128), (255, 255, 255, alpha))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 24, 90, 104), (220, 170, 150, 255))
    draw.rectangle((40, 40, 60, 60), (30, 60, 160, 255))
    draw.rectangle((30, 70, 70, 90), (150, 20, 40, 255))
    return picture

def shown(picture):
    """What is seen of a picture on grey."""
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    return numpy.asarray(Image.alpha_composite(ground, picture.convert("RGBA")))

print("imagehash", version("imagehash"), "pillow", PIL.__version__, "distance of two files of one picture, of 64 bits:")
kinds = (imagehash.phash, imagehash.dhash, imagehash.average_hash, imagehash.whash)
for alpha in (0, 255):
    picture = character(alpha)
    for format, options in (("png", {}), ("webp", {"lossless": True}), ("webp", {"lossless": True, "exact": True})):
        file = io.BytesIO()
        picture.save(file, format, **options)
        other = Image.open(file)
        assert numpy.array_equal(shown(picture), shown(other))
        apart = {kind.__name__: int(kind(picture) - kind(other)) for kind in kinds}
        print(f"  {'opaque' if alpha else 'transparent'}, {format} {options}: {apart}")
        if alpha == 0 and options == {"lossless": True}:
            assert min(apart.values()) > 16, apart
            ground = Image.new("RGBA", picture.size, "white")
            assert all(kind(Image.alpha_composite(ground, picture)) == kind(Image.alpha_composite(ground, other.convert("RGBA"))) for kind in kinds)
        else:
            assert not any(apart.values()), apart
PYTHON
