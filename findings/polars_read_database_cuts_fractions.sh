#!/usr/bin/env bash
# polars: read_database takes the type of a column from the first 100 rows, and of a number with a fraction that comes later it keeps the whole part: 122.75 is 122, with no error and no warning, though a text there raises one. DataFrame and from_dicts with rows of Python do the same.
# read_ndjson raises an error for both. Expected: the number, or that error. infer_schema_length=None helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile polars==2.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import io, json, sqlite3, warnings
import polars as pl

warnings.simplefilter("error")

def rows(late):
    """Rows of which the first 120 are whole numbers."""
    return [{"score": number if number < 120 else late(number)} for number in range(125)]

def last(read):
    try:
        return read()["score"].to_list()[-1]
    except Exception as error:
        return type(error).__name__

def database(values, **options):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, score NUMERIC)")
    connection.executemany("INSERT INTO posts (score) VALUES (:score)", values)
    return pl.read_database("SELECT score FROM posts ORDER BY id", connection, **options)

def lines(values):
    return pl.read_ndjson(io.BytesIO("\n".join(map(json.dumps, values)).encode()))

seen = {}
for name, late in (("fraction", lambda number: number + 0.75), ("text", lambda number: "x")):
    values = rows(late)
    seen[name] = {
        "read_database": last(lambda: database(values)),
        "DataFrame": last(lambda: pl.DataFrame(values)),
        "from_dicts": last(lambda: pl.from_dicts(values)),
        "read_ndjson": last(lambda: lines(values)),
    }
seen["fraction"]["read_database, infer_schema_length=None"] = last(lambda: database(rows(lambda number: number + 0.75), infer_schema_length=None))
print("polars", pl.__version__, "last of 125 values, whole numbers up to the 120th:")
for name, row in seen.items():
    print(f"  {name}: {row}")
assert list(seen["fraction"].values())[:3] == [124, 124, 124], seen
assert seen["fraction"]["read_database, infer_schema_length=None"] == 124.75, seen
assert isinstance(seen["fraction"]["read_ndjson"], str), seen
assert isinstance(seen["text"]["read_database"], str) and isinstance(seen["text"]["read_ndjson"], str), seen
PYTHON
