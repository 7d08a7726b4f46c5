#!/usr/bin/env bash
# litdata: optimize takes the type of each part of a sample from the first one. An array of one axis that has another type later is read back by the bits as numbers of the first type: after whole numbers, 1.0 is 4607182418800017408, and after float32 a float64 array comes back
# twice as long. A whole number after a flag is True. Arrays of two axes keep their type; of an integer and a fraction there is an error. Expected: what was written, or that error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 litdata==0.2.76 numpy==2.4.6
export DATA_OPTIMIZER_CACHE_FOLDER="$folder/cache" DATA_OPTIMIZER_DATA_CACHE_FOLDER="$folder/data"
cat > "$folder/program.py" <<'PYTHON'
import sys
from importlib.metadata import version
import litdata, numpy as np

PAIRS = {
    "integers, floats": (np.arange(3), np.arange(3.0)), "float32, float64": (np.ones(2, np.float32), np.ones(2)),
    "flag, number": (True, 3), "two axes": (np.ones((1, 2), np.float32), np.ones((1, 2))),
}

def sample(key):
    name, number = key
    return {"value": PAIRS[name][number]}

def main():
    print("litdata", version("litdata"), "second sample as written and read:")
    seen = {}
    for number, (name, pair) in enumerate(PAIRS.items()):
        target = f"{sys.argv[1]}/set{number}"
        litdata.optimize(sample, [(name, 0), (name, 1)], target, chunk_size=10, num_workers=1, verbose=False)
        values = [row["value"] for row in litdata.StreamingDataset(target)]
        assert np.array_equal(values[0], pair[0]), name
        seen[name] = values[1].tolist() if hasattr(values[1], "tolist") else values[1]
        print(f"  {name}: {pair[1]} {seen[name]}")
    wrong = [0, 4607182418800017408, 4611686018427387904]
    assert seen["integers, floats"] == wrong and len(seen["float32, float64"]) == 4, seen
    assert seen["flag, number"] is True and seen["two axes"] == [[1, 1]], seen

if __name__ == "__main__":
    main()
PYTHON
"$folder/venv/bin/python" "$folder/program.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
