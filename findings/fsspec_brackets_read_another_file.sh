#!/usr/bin/env bash
# fsspec: cat, get and copy take a path with square brackets as a pattern even where a file of just that name exists: of saber[1].txt and saber1.txt, cat("saber[1].txt") gives the second, and get copies it. The same on all of its file
# systems. Where no other file fits, the error is that there is no such file. Expected: a file that exists under the name is that file, as open and cat_file have it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile fsspec==2026.9.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path
import fsspec

print("fsspec", fsspec.__version__, "contents by way of reading:")
for protocol, root in (("file", sys.argv[1]), ("memory", "/posts")):
    system = fsspec.filesystem(protocol)
    for name in ("saber[1].txt", "saber1.txt", "alone[1].txt"):
        system.pipe_file(f"{root}/{name}", name.encode())
    path = f"{root}/saber[1].txt"
    assert system.exists(path) and system.isfile(path)
    target = Path(sys.argv[1], "copied", protocol); target.mkdir(parents=True)
    system.get(path, f"{target}/")
    seen = {
        "open": system.open(path).read(), "cat_file": system.cat_file(path), "cat": b"".join(system.cat(path).values()),
        "get": b"".join(file.read_bytes() for file in target.iterdir()),
    }
    print(f"  {protocol}: {seen}")
    assert seen["open"] == seen["cat_file"] == b"saber[1].txt", seen
    assert seen["cat"] == seen["get"] == b"saber1.txt", seen
    try:
        system.cat(f"{root}/alone[1].txt")
    except FileNotFoundError as error:
        print("   ", type(error).__name__, "of a file that is there")
    else:
        raise AssertionError("the file was read")
PYTHON
