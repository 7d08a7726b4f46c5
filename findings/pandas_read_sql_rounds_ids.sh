#!/usr/bin/env bash
# pandas: read_sql and read_sql_query with dtype Int64 or int64[pyarrow], the types that are there for whole numbers with missing ones, round large ones all the same: the column is made float64 first, and cast then, without an error. Ids of tweets, of 19 digits, change in
# their last three, and two become one. coerce_float=False changes nothing. Expected: the ids of the database, as dtype_backend gives them.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3, warnings
import pandas

warnings.simplefilter("error")
IDS = [1234567890123456789, None, 1234567890123456791]
database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE posts (source_id INTEGER)")
database.executemany("INSERT INTO posts VALUES (?)", [(number,) for number in IDS])

def ids(**options):
    column = pandas.read_sql_query("SELECT source_id FROM posts", database, **options)["source_id"]
    return str(column.dtype), [None if pandas.isna(number) else int(number) for number in column]

seen = {
    str(options): ids(**options)
    for options in (
        {"dtype": {"source_id": "Int64"}},
        {"dtype": {"source_id": "int64[pyarrow]"}},
        {"dtype": {"source_id": "Int64"}, "coerce_float": False},
        {"dtype_backend": "numpy_nullable"},
        {"dtype_backend": "pyarrow"},
    )
}
print("pandas", pandas.__version__, "ids in the database:", IDS)
for options, (kind, numbers) in seen.items():
    print(f"  {options}: {kind} {numbers}")
    assert "int64" in kind.lower(), kind
    assert numbers == (IDS if "backend" in options else [1234567890123456768, None, 1234567890123456768]), numbers
assert pandas.Series(IDS, dtype="Int64").astype(object).tolist()[0] == IDS[0]
PYTHON
