#!/usr/bin/env bash
# datasets, pillow-jxl-plugin, mosaicml-streaming: a JPEG that was opened with Pillow and then changed in place (thumbnail, paste) is saved as it was opened: the writers take the bytes of the file
# that it came from. A watermark painted over is there again, a smaller size is lost. Expected: the pixels of the picture that is given. pillow-jxl-plugin warns that it keeps
# the JPEG's data; the others say nothing. What .copy() or .resize() gives is saved as it is.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile datasets==5.2.0 pillow==13.0.0 pillow-jxl-plugin==1.3.8 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps mosaicml-streaming==0.13.0 typing-extensions==4.16.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.util, sys
from importlib.metadata import distribution, version
from pathlib import Path
import datasets, PIL, pillow_jxl
from PIL import Image

# The encoder of MDS shards by itself, since the package around it imports the clients of all clouds.
place = distribution("mosaicml-streaming").locate_file("streaming/base/format/mds/encodings.py")
spec = importlib.util.spec_from_file_location("encodings_of_mds", place)
mds = importlib.util.module_from_spec(spec); spec.loader.exec_module(mds)

def from_datasets(picture):
    return datasets.Dataset.from_dict({"image": [picture]}, features=datasets.Features({"image": datasets.Image()}))[0]["image"]

def from_jxl(picture):
    picture.save(folder / "saved.jxl")
    return Image.open(folder / "saved.jxl")

def from_mds(picture):
    return mds.mds_decode("jpeg", mds.mds_encode("jpeg", picture))

folder = Path(sys.argv[1])
Image.new("RGB", (512, 256), "red").save(folder / "opened.jpg")
print("Pillow", PIL.__version__, "red picture of 512 by 256, painted blue and made 64 by 32 in place; read back:")
for name, again in {"datasets": from_datasets, "pillow-jxl-plugin": from_jxl, "mosaicml-streaming": from_mds}.items():
    picture = Image.open(folder / "opened.jpg")
    picture.paste("blue", (0, 0, 512, 256))
    picture.thumbnail((64, 64))
    assert picture.size == (64, 32) and picture.getpixel((5, 5)) == (0, 0, 255)
    saved, copied = (again(some).convert("RGB") for some in (picture, picture.copy()))
    seen, right = ((some.size, "red" if some.getpixel((5, 5))[0] > 200 else "blue") for some in (saved, copied))
    print(f"  {name} {version(name)}: {seen}; of a copy: {right}")
    assert seen == ((512, 256), "red") and right == ((64, 32), "blue"), (name, seen, right)
PYTHON
