#!/usr/bin/env bash
# DuckDB: several Parquet files read as one get the types of the first: where the scores of the first shard are whole numbers, those of the later ones are rounded, 0.7 to 1 and 2.5 to 2, a number in a column of flags becomes true, and a time of day is cut off. No error, no
# warning. Its readers of JSON and CSV take a type that holds all. Expected: the same, or an error, as pyarrow and polars raise it. union_by_name=true helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile duckdb==2.0.1 pyarrow==26.0.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import datetime, sys
from pathlib import Path
import duckdb, polars
import pyarrow as pa
import pyarrow.dataset, pyarrow.parquet

folder = Path(sys.argv[1])
PAIRS = {
    "score": ([3, 4], [0.7, 2.5]),
    "flag": ([True, False], [5, 0]),
    "date": ([datetime.date(2019, 4, 14)], [datetime.datetime(2020, 1, 1, 22, 30)]),
}

def values(query):
    return [value for value, in duckdb.sql(query).fetchall()]

def refusal(read):
    try:
        read()
    except Exception as error:
        return type(error).__name__
    return None

print("DuckDB", duckdb.__version__, "pyarrow", pa.__version__, "polars", polars.__version__)
seen = {}
for name, pair in PAIRS.items():
    files = [str(folder / f"{name}{number}.parquet") for number in range(2)]
    for file, column in zip(files, pair, strict=True):
        pyarrow.parquet.write_table(pa.table({name: column}), file)
    seen[name] = values(f"SELECT * FROM read_parquet({files})")
    whole = values(f"SELECT * FROM read_parquet({files}, union_by_name = true)")
    print(f"  {name}: {pair} is read as {seen[name]}, with union_by_name {whole}")
    assert whole[-1] == pair[1][-1] and (name != "score" or whole == [3, 4, 0.7, 2.5]), whole
    if name == "score":
        others = refusal(lambda: pyarrow.dataset.dataset(files).to_table()), refusal(lambda: polars.read_parquet(files))
for form, texts in {"json": ['{"score": 3}', '{"score": 2.5}'], "csv": ["score\n3\n", "score\n2.5\n"]}.items():
    files = [str(folder / f"{number}.{form}") for number in range(2)]
    for file, text in zip(files, texts, strict=True):
        Path(file).write_text(text)
    seen[form] = values(f"SELECT score FROM read_{form}({files})")
    print(f"  {form}: {seen[form]}")
print("  pyarrow and polars:", others)
assert seen["score"] == [3, 4, 1, 2] and seen["flag"][2:] == [True, False], seen
assert seen["date"][1] == datetime.date(2020, 1, 1), seen
assert seen["json"] == seen["csv"] == [3, 2.5] and all(others), (seen, others)
PYTHON
