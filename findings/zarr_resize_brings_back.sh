#!/usr/bin/env bash
# zarr: an array that is made shorter and longer again shows the old numbers again, up to the end of the last chunk that was kept, and fill_value behind it: a file of latents cut back to the images that were done, and grown for new ones, has those of deleted images in places that were never written. What is read there depends on the
# length of chunks. HDF5 gives the fill value. Expected: fill_value, as the places that are new have no value.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile zarr==3.1.6 h5py==3.16.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import h5py, numpy, zarr

values = numpy.arange(1, 11, dtype="float32")

def shortened(array):
    array[:] = values
    array.resize((5,))
    assert array[:].tolist() == [1, 2, 3, 4, 5]
    array.resize((10,))
    return array[:].tolist()

print("zarr", zarr.__version__, "h5py", h5py.__version__, "numpy", numpy.__version__, "1 to 10, made 5 long and 10 long again:")
for format in (2, 3):
    for chunk in (4, 5, 10):
        seen = shortened(zarr.create_array(f"{sys.argv[1]}/{format}-{chunk}", shape=(10,), chunks=(chunk,), dtype="float32", fill_value=-1, zarr_format=format))
        kept = -(-5 // chunk) * chunk
        print(f"  format {format}, chunks of {chunk}: {seen}")
        assert seen == [*values[:kept].tolist(), *[-1] * (10 - kept)], seen
with h5py.File(f"{sys.argv[1]}/values.h5", "w") as file:
    seen = shortened(file.create_dataset("values", (10,), maxshape=(None,), chunks=(4,), dtype="float32", fillvalue=-1))
print("  HDF5, chunks of 4:", seen)
assert seen == [1, 2, 3, 4, 5, *[-1] * 5], seen
PYTHON
