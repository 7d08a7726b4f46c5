#!/usr/bin/env bash
# webdataset: an image that a tar stores as a hard link to another member is no sample, and nothing says so.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io, sys, tarfile
from importlib.metadata import version
import webdataset

path = f"{sys.argv[1]}/shard.tar"
with tarfile.open(path, "w") as tar:
    for name in ("1.jpg", "1.txt"):
        info = tarfile.TarInfo(name); info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    link = tarfile.TarInfo("2.jpg"); link.type, link.linkname = tarfile.LNKTYPE, "1.jpg"
    tar.addfile(link)
    info = tarfile.TarInfo("2.txt"); info.size = 3
    tar.addfile(info, io.BytesIO(b"abc"))
with tarfile.open(path) as tar:
    read = {m.name: tar.extractfile(m).read() for m in tar}
samples = [sorted(k for k in s if not k.startswith("__")) for s in webdataset.WebDataset(path, shardshuffle=False)]
print("webdataset", version("webdataset"), "samples:", samples, "- tarfile reads 2.jpg as", read["2.jpg"])
assert read["2.jpg"] == b"abc"
assert samples == [["jpg", "txt"], ["txt"]], samples
PYTHON
