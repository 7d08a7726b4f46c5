#!/usr/bin/env bash
# pyarrow: the first pa.array() or pa.scalar() of a process, even of an empty list, imports pandas if it is installed: half a second and some 400 modules for each
# process of a pool. Array.from_buffers and the functions of pyarrow.compute do not.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6 pandas==3.0.3
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess, sys
from importlib.metadata import version

SHOW = """
import sys
import pyarrow as pa, pyarrow.compute as pc
before = len(sys.modules)
{}
print("pandas" in sys.modules, len(sys.modules) - before)
"""
ONE = "pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(bytes(8))])"
print("pyarrow", version("pyarrow"), "pandas", version("pandas"), "numpy", version("numpy"))
for call, imports in {"pa.array([])": "True", "pa.scalar(1)": "True", ONE: "False", f"pc.take({ONE}, {ONE})": "False"}.items():
    shown = subprocess.run([sys.executable, "-c", SHOW.format(call)], check=True, capture_output=True, text=True).stdout.split()
    print(f"  {call}: imports pandas: {shown[0]}; new modules: {shown[1]}")
    assert shown[0] == imports, (call, shown)
PYTHON
