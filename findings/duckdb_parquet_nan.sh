#!/usr/bin/env bash
# DuckDB: of a Parquet file that pyarrow or polars wrote, isnan(score) finds nothing, and score > 0.6 finds the NaNs or not by where the row groups are cut, though NaN is the greatest number in DuckDB. It trusts the statistics,
# which leave NaN out, as the format asks. pyarrow's own filters with != and ~ do the same. Posts whose score is NaN are lost or kept by chance. Expected: the same rows as of the table in memory.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile duckdb==2.0.1 pyarrow==26.0.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder/scores.parquet" <<'PYTHON'
import sys
import duckdb, polars, pyarrow as pa
from pyarrow import parquet

path, nan = sys.argv[1], float("nan")
scores = pa.table({"id": [1, 2, 3, 4], "score": [0.5, nan, 0.7, 0.9]})
conditions = ("isnan(score)", "score > 0.6", "score != 0.5")

def ids(source):
    return [[row[0] for row in duckdb.sql(f"SELECT id FROM {source} WHERE {condition} ORDER BY id").fetchall()] for condition in conditions]

memory = ids("scores")
print("duckdb", duckdb.__version__, "pyarrow", pa.__version__, "polars", polars.__version__, "rows with", *(f"{condition};" for condition in conditions), "the same by pyarrow:")
print("  in memory:", memory)
assert memory == [[2], [2, 3, 4], [2, 3, 4]], memory
for rows in (4, 2):
    for writer in ("pyarrow", "polars"):
        if writer == "pyarrow":
            parquet.write_table(scores, path, row_group_size=rows)
        else:
            polars.from_arrow(scores).write_parquet(path, row_group_size=rows)
        found = ids(f"'{path}'")
        own = parquet.read_table(path, filters=[("score", "!=", 0.5)])["id"].to_pylist()
        print(f"  by {writer}, {rows} rows a group:", found, own)
        kept = [2, 3, 4] if rows == 4 else [3, 4]
        assert found == [[], kept, kept] and own == kept, (writer, rows, found, own)
duckdb.sql(f"COPY scores TO '{path}'")
print("  by DuckDB:", ids(f"'{path}'"))
assert ids(f"'{path}'") == memory
PYTHON
