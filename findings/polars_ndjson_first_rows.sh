#!/usr/bin/env bash
# polars: read_ndjson and scan_ndjson take columns and types from the first 100 lines. A key that comes later is left out, at the top and within objects; and a list that was empty in all of these, as the characters of early
# posts are, gives [None] for ["hatsune_miku"]. No error, no warning; of a number with a fraction among integers there is an error. infer_schema_length=None helps. Expected: an error, or types that hold all.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile polars==2.1.0
"$folder/venv/bin/python" - "$folder/posts.jsonl" <<'PYTHON'
import json, sys, warnings
import polars

warnings.simplefilter("error")
posts = [{"id": number, "characters": [], "file": {"ext": "png"}} for number in range(1, 101)]
posts.append({"id": 101, "characters": ["hatsune_miku"], "file": {"ext": "png", "md5": "0" * 32}, "parent_id": 7})
with open(sys.argv[1], "w") as file:
    file.writelines(json.dumps(post) + "\n" for post in posts)
seen = {
    "read_ndjson": polars.read_ndjson(sys.argv[1]), "scan_ndjson": polars.scan_ndjson(sys.argv[1]).collect(),
    "read_ndjson, infer_schema_length=None": polars.read_ndjson(sys.argv[1], infer_schema_length=None),
}
print("polars", polars.__version__, "last line:", posts[-1])
for name, frame in seen.items():
    print(f"  {name}: {frame.row(-1, named=True)}")
short = {"id": 101, "characters": [None], "file": {"ext": "png"}}
assert seen["read_ndjson"].row(-1, named=True) == seen["scan_ndjson"].row(-1, named=True) == short, seen
assert seen["read_ndjson, infer_schema_length=None"].row(-1, named=True) == posts[-1], seen
with open(sys.argv[1], "w") as file:
    file.writelines(json.dumps({"score": 1 if number < 100 else 2.5}) + "\n" for number in range(101))
try:
    polars.read_ndjson(sys.argv[1])
except polars.exceptions.ComputeError as error:
    print("  fraction among integers:", error)
else:
    raise AssertionError("no error for a fraction")
PYTHON
