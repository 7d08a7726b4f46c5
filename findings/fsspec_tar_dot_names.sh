#!/usr/bin/env bash
# fsspec: in a tar made of a folder by tar -C FOLDER -cf FILE . all members are called ./NAME, as in the archives of danbooru2023, and fsspec's tar file system takes the dot for a folder: the root has one folder named ".", glob("*.jpg") and exists("1.jpg") find nothing, and tar://1.jpg::FILE is no file.
# Python's tarfile has the same names; GNU tar and bsdtar extract all into the folder itself. ratarmount lists 1.jpg at the root. Expected: that, or paths without the dot.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile fsspec==2026.9.0 ratarmountcore==0.11.1
mkdir "$folder/images"; echo one > "$folder/images/1.jpg"; echo two > "$folder/images/2.jpg"
tar -C "$folder/images" -cf "$folder/dot.tar" .
tar -C "$folder/images" -cf "$folder/plain.tar" 1.jpg 2.jpg
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import fsspec
from importlib.metadata import version
from ratarmountcore.mountsource.factory import open_mount_source

folder = sys.argv[1]
print("fsspec", fsspec.__version__, "ratarmountcore", version("ratarmountcore"))
for name, there in (("plain", True), ("dot", False)):
    files = fsspec.filesystem("tar", fo=f"{folder}/{name}.tar")
    root, images, exists = [entry["name"] for entry in files.ls("")], files.glob("*.jpg"), files.exists("1.jpg")
    print(f"  {name}: root {root}, *.jpg {images}, 1.jpg {exists}, all {files.find('')}")
    assert images == (["1.jpg", "2.jpg"] if there else []) and exists == there, images
    try:
        with fsspec.open(f"tar://1.jpg::{folder}/{name}.tar") as file:
            assert file.read() == b"one\n" and there
    except FileNotFoundError:
        assert not there
    with open_mount_source(f"{folder}/{name}.tar", printDebug=0) as source:
        listed = sorted(source.list("/"))
    print("    ratarmount:", listed)
    assert listed == ["1.jpg", "2.jpg"]
assert files.find("") == ["./1.jpg", "./2.jpg"] and files.cat("./1.jpg") == b"one\n"
PYTHON
