#!/usr/bin/env bash
# pyarrow: ParquetFile.iter_batches with its defaults keeps the bytes of every column chunk that it has read, until the file is closed: with batches of a few rows, memory
# grows to the size of the column. pre_buffer=False with a buffer size keeps it flat.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/texts.parquet" <<'PYTHON'
import subprocess, sys
from importlib.metadata import version

WRITE = """
import sys
import numpy as np, pyarrow as pa
from pyarrow import parquet
random = np.random.default_rng(1)
kinds = pa.schema({"id": pa.int64(), "text": pa.binary(4096)})
with parquet.ParquetWriter(sys.argv[1], kinds, compression="none", use_dictionary=False) as writer:
    for group in range(64):
        texts = pa.Array.from_buffers(pa.binary(4096), 1024, [None, pa.py_buffer(random.bytes(4096 * 1024))])
        writer.write_table(pa.table({"id": np.arange(1024) + 1024 * group, "text": texts}, schema=kinds))
"""
READ = """
import sys
from pyarrow import parquet
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
with parquet.ParquetFile(sys.argv[1], **eval(sys.argv[2])) as file:
    before = resident()
    most = max(resident() - before for _ in file.iter_batches(batch_size=64))
print(most)
"""
path = sys.argv[1]
subprocess.run([sys.executable, "-c", WRITE, path], check=True)
most = {
    told: float(subprocess.run([sys.executable, "-c", READ, path, told], check=True, capture_output=True, text=True).stdout)
    for told in ("{}", "{'pre_buffer': False, 'buffer_size': 1048576}")
}
print("pyarrow", version("pyarrow"), "64 row groups of 4 MB, batches of 64 rows, growth of the process in MB:")
for told, growth in most.items():
    print(f"  ParquetFile(path, **{told}): {growth:.0f}")
assert most["{}"] > 200, most
assert most["{'pre_buffer': False, 'buffer_size': 1048576}"] < 60, most
PYTHON
