#!/usr/bin/env bash
# Ray Data: read_images passes over .webp and .avif files without a word, though Pillow, which it reads with, opens both. A set that is in part WebP loses that part. And a PNG with a palette gives
# the indices of its colours as if they were brightness. Expected: all images, or an error; colours. file_extensions=[…] and mode="RGB" help.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile ray==2.60.0 pillow==13.0.0 pyarrow==26.0.1 numpy==2.4.6 pandas==3.0.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import logging, sys
from pathlib import Path
import ray, ray.data
from PIL import Image

images = Path(sys.argv[1], "images"); images.mkdir()
red = Image.new("RGB", (8, 8), (250, 0, 0))
for name in ("1.jpg", "2.png", "3.webp", "4.avif"):
    red.save(images / name)
red.quantize(4).save(images / "5.png")
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, _temp_dir=f"{sys.argv[1]}/ray")
ray.data.DataContext.get_current().enable_progress_bars = False

def read(**options):
    rows = ray.data.read_images(str(images), include_paths=True, **options).take_all()
    return {Path(row["path"]).name: (row["image"].shape, row["image"].ravel()[:3].tolist()) for row in rows}

seen, asked = read(), read(mode="RGB", file_extensions=["jpg", "png", "webp", "avif"])
ray.shutdown()
print("ray", ray.__version__, "as it is:", seen, "with the extensions named and mode RGB:", asked)
assert sorted(asked) == ["1.jpg", "2.png", "3.webp", "4.avif", "5.png"] and asked["5.png"] == ((8, 8, 3), [250, 0, 0]), asked
assert sorted(seen) == ["1.jpg", "2.png", "5.png"], seen
assert seen["5.png"] == ((8, 8), [0, 0, 0]), seen
PYTHON
