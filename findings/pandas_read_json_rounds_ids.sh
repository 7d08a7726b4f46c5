#!/usr/bin/env bash
# pandas: read_json makes numbers of texts, and a column of ids where one row has none becomes float64: an id that was written as a text so that no reader rounds it, as id_str, or a large number, comes back as its neighbour, and
# two ids as one. With dtype_backend="pyarrow" texts stay, and numbers are rounded still, in a column that says int64. Expected: the ids of the file, as polars and DuckDB read them. dtype=False keeps the texts alone.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pandas==3.0.3 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/posts.jsonl" <<'PYTHON'
import json, sys
import duckdb, pandas, polars

first, second = 1234567890123456789, 1234567890123456790
posts = [{"id_str": str(first), "id": first}, {"id_str": str(second), "id": second}, {"id_str": None, "id": None}]
with open(sys.argv[1], "w") as file:
    file.writelines(json.dumps(post) + "\n" for post in posts)
seen = {}
for name, options in {"read_json": {}, "dtype_backend='pyarrow'": {"dtype_backend": "pyarrow"}, "dtype=False": {"dtype": False}}.items():
    frame = pandas.read_json(sys.argv[1], lines=True, **options)
    seen[name] = [(str(frame[column].dtype), [int(value) for value in frame[column][:2]]) for column in ("id_str", "id")]
print("pandas", pandas.__version__, "ids written:", first, second)
for name, columns in seen.items():
    print(f"  {name}: id_str {columns[0]}, id {columns[1]}")
others = polars.read_ndjson(sys.argv[1]).rows()[:2], duckdb.sql(f"SELECT id_str, id FROM '{sys.argv[1]}'").fetchall()[:2]
print("  polars", polars.__version__, others[0], "DuckDB", duckdb.__version__, others[1])
rounded = [1234567890123456768] * 2
assert seen["read_json"] == [("float64", rounded)] * 2, seen
assert seen["dtype_backend='pyarrow'"][0][1] == [first, second] and seen["dtype_backend='pyarrow'"][1] == ("int64[pyarrow]", rounded), seen
assert seen["dtype=False"][0][1] == [first, second] and seen["dtype=False"][1][1] == rounded, seen
assert all(rows == [(str(first), first), (str(second), second)] for rows in others), others
PYTHON
