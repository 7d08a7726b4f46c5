#!/usr/bin/env bash
# polars: the sum of a column of 32 bits stays in 32 bits and wraps: the file sizes of a thousand posts of 5 MB add up to 705032704 bytes, in groups to a number below zero, and SELECT SUM in its SQL does the same. Columns of 8 and 16 bits are widened to 64, so a test on small ones sees nothing,
# and the mean is right. Expected: 5000000000, as pyarrow, pandas, NumPy and DuckDB give it for the same column. cast(pl.Int64) helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute, pyarrow.parquet

table = pa.table({"rating": ["g", "s"] * 500, "file_size": pa.array([5_000_000] * 1000, pa.int32())})
file = io.BytesIO()
pyarrow.parquet.write_table(table, file)
posts = pl.read_parquet(io.BytesIO(file.getvalue()))
size = pl.col("file_size")
by_polars = {
    "sum": posts["file_size"].sum(),
    "lazy": posts.lazy().select(size.sum()).collect().item(),
    "SQL": pl.SQLContext(posts=posts).execute("SELECT SUM(file_size) FROM posts").collect().item(),
}
groups = posts.group_by("rating").agg(size.sum())["file_size"].to_list()
others = {
    "pyarrow": pa.compute.sum(table["file_size"]).as_py(),
    "pandas": int(table["file_size"].to_pandas().sum()),
    "NumPy": int(table["file_size"].to_numpy().sum()),
    "DuckDB": int(duckdb.from_arrow(table).sum("file_size").fetchall()[0][0]),
    "polars, cast": posts.select(size.cast(pl.Int64).sum()).item(),
}
small = pl.Series([30_000] * 100_000, dtype=pl.Int16).sum()
print("polars", pl.__version__, "sums of 1000 × 5000000:", by_polars, "two groups:", groups, "mean:", posts["file_size"].mean())
print("  others:", others, "100000 × 30000 of 16 bits:", small)
assert set(by_polars.values()) == {5_000_000_000 % 2**32} and groups == [2_500_000_000 - 2**32] * 2, (by_polars, groups)
assert set(others.values()) == {5_000_000_000} and posts["file_size"].mean() == 5_000_000, others
assert small == 3_000_000_000, small
PYTHON
