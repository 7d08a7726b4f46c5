#!/usr/bin/env bash
# mosaicml-streaming: the encoding pil of MDS shards keeps a picture's mode and pixels but not its palette: a GIF or PNG with a palette comes back black or grey, with the right mode and size.
# Its encodings png and jpeg keep the colours. Expected: the same picture, since pil is the lossless one of the three.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps mosaicml-streaming==0.13.0 typing-extensions==4.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
from importlib.metadata import distribution, version
from PIL import Image

# The encoder of MDS shards by itself, since the package around it imports the clients of all clouds.
place = distribution("mosaicml-streaming").locate_file("streaming/base/format/mds/encodings.py")
spec = importlib.util.spec_from_file_location("encodings_of_mds", place)
mds = importlib.util.module_from_spec(spec); spec.loader.exec_module(mds)

picture = Image.new("RGB", (4, 4), (250, 40, 120)).quantize(4)
seen = {}
for encoding in ("pil", "png"):
    again = mds.mds_decode(encoding, mds.mds_encode(encoding, picture))
    assert (again.mode, again.size) == ("P", (4, 4)), again
    seen[encoding] = again.convert("RGB").getpixel((0, 0))
print("mosaicml-streaming", version("mosaicml-streaming"), "colour written:", picture.convert("RGB").getpixel((0, 0)), "read back:", seen)
assert seen == {"pil": (0, 0, 0), "png": (250, 40, 120)}, seen
PYTHON
