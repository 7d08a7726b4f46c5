#!/usr/bin/env bash
# tfrecord (reader without TensorFlow): a feature with several byte strings comes back as an array of NumPy's S type, which has no zero bytes at the end: of 256 raw MD5s of posts, one in 256 has 15 bytes, and of images or latents kept together, the last zeros are gone, as the one that pads many WebP files. The file has them.
# A feature with one string gives all of its bytes. Expected: the same bytes, as with one, or an array of objects.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile tfrecord==1.14.6 numpy==2.4.6 protobuf==6.33.6 pillow==13.0.0
"$folder/venv/bin/python" - "$folder/posts.tfrecord" <<'PYTHON'
import hashlib, io, sys
from importlib.metadata import version
import numpy, PIL, tfrecord
from PIL import Image
from tfrecord.reader import tfrecord_iterator

def webp(side):
    file = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(file, "webp")
    return file.getvalue()

pictures = [webp(side) for side in range(16, 64)]
values = {
    "md5": [hashlib.md5(str(id).encode()).digest() for id in range(1, 2001)], "webp": pictures,
    "latents": [numpy.array(row, numpy.float16).tobytes() for row in ([1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6])], "one latent": [numpy.zeros(4, numpy.float16).tobytes()],
}
writer = tfrecord.TFRecordWriter(sys.argv[1])
writer.write({name: (several, "byte") for name, several in values.items()})
writer.close()
record = bytes(next(iter(tfrecord_iterator(sys.argv[1]))))
assert all(value in record for several in values.values() for value in several)
(row,) = tfrecord.tfrecord_loader(sys.argv[1], None)
print("tfrecord", version("tfrecord"), "numpy", numpy.__version__, "pillow", PIL.__version__, "byte strings that are shorter when read:")
for name, several in values.items():
    if len(several) == 1:
        assert row[name] == several[0], row[name]
        continue
    read = row[name].tolist()
    shorter = sum(len(first) < len(second) for first, second in zip(read, several, strict=True))
    ending = sum(value.endswith(b"\0") for value in several)
    print(f"  {name}: {shorter} of {len(several)}; {ending} end in zero; {row[name].dtype}")
    assert shorter == ending > 0 and read == [value.rstrip(b"\0") for value in several], name
PYTHON
