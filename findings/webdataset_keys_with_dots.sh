#!/usr/bin/env bash
# webdataset: its writers take a key with a dot, and its reader ends keys at the first dot: samples v1.5_0001 and v1.5_0002 come back as one sample v1, with 5_0001.jpg and 5_0002.jpg in it, which a loader that takes jpg passes over. No error, no warning, from
# either. Expected: the samples that were written, or an error of the writer, which refuses a sample without a key.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile webdataset==1.0.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON' 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
import sys
from importlib.metadata import version
import webdataset

def samples(*keys):
    """What is read of samples that were written under some keys, and how many have an image."""
    path = f"{sys.argv[1]}/00000.tar"
    with webdataset.TarWriter(path) as writer:
        for key in keys:
            writer.write({"__key__": key, "jpg": b"image", "txt": key})
    read = [(sample["__key__"], sorted(name for name in sample if not name.startswith("__"))) for sample in webdataset.WebDataset(path, shardshuffle=False)]
    return read, len([*webdataset.WebDataset(path, shardshuffle=False).select(lambda sample: "jpg" in sample)])

plain, dotted = samples("v1_5_0001", "v1_5_0002"), samples("v1.5_0001", "v1.5_0002")
print("webdataset", version("webdataset"), "samples read, and those with an image:")
print("  keys without a dot:", plain)
print("  with one:", dotted)
assert plain == ([("v1_5_0001", ["jpg", "txt"]), ("v1_5_0002", ["jpg", "txt"])], 2), plain
assert dotted == ([("v1", ["5_0001.jpg", "5_0001.txt", "5_0002.jpg", "5_0002.txt"])], 0), dotted
PYTHON
[ ! -s "$folder/errors" ]
