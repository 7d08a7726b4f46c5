#!/usr/bin/env bash
# safetensors: safetensors.numpy.save and save_file write the memory of an array as it lies: a transposed or Fortran-ordered matrix comes back with its shape and its numbers in other places,
# without an error. Expected: the same matrix, as from 0.7.0, or the error that safetensors.torch raises. np.ascontiguousarray before saving helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/matrix.safetensors" <<'PYTHON'
import sys
from importlib.metadata import version
import numpy as np
from safetensors.numpy import load, load_file, save, save_file

down = np.arange(6, dtype=np.float32).reshape(2, 3)
layers = {"whole": down, "transposed": down.T, "fortran": np.asfortranarray(down)}
save_file(layers, sys.argv[1])
read, copied = load_file(sys.argv[1]), load(save(layers))
print("safetensors", version("safetensors"), "numpy", np.__version__)
for name, written in layers.items():
    print(f"  {name}: written {written.tolist()}, read {read[name].tolist()}")
    assert read[name].shape == written.shape and np.array_equal(read[name], copied[name]), name
assert np.array_equal(read["whole"], layers["whole"])
assert read["transposed"].tolist() == [[0, 1], [2, 3], [4, 5]], read
assert read["fortran"].tolist() == [[0, 3, 1], [4, 2, 5]], read
PYTHON
