#!/usr/bin/env bash
# pyarrow: of the filters of parquet.read_table, ("parent_id", "!=", 5) leaves out the rows without a value, and ("parent_id", "not in", [5]) keeps them: two ways to write one
# thing, of which one loses all posts without a parent. Expected: the same rows, as SQL and polars have it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder/posts.parquet" <<'PYTHON'
import sys
import duckdb, polars, pyarrow as pa
from pyarrow import parquet

path = sys.argv[1]
parquet.write_table(pa.table({"id": [1, 2, 3], "parent_id": [5, None, 7]}), path)
own = [parquet.read_table(path, filters=[("parent_id", operator, value)])["id"].to_pylist() for operator, value in (("!=", 5), ("not in", [5]))]
sql = [[row[0] for row in duckdb.sql(f"SELECT id FROM '{path}' WHERE parent_id {condition}").fetchall()] for condition in ("!= 5", "NOT IN (5)")]
parent = polars.col("parent_id")
frames = [polars.scan_parquet(path).filter(condition).collect()["id"].to_list() for condition in (parent != 5, ~parent.is_in([5]))]
print("pyarrow", pa.__version__, "!= and not in:", own, "DuckDB", duckdb.__version__, sql, "polars", polars.__version__, frames)
assert own == [[3], [2, 3]], own
assert sql == frames == [[3], [3]], (sql, frames)
PYTHON
