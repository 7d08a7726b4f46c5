#!/usr/bin/env bash
# adbc-driver-sqlite: in a column that holds numbers and texts, one text makes all values of the batch texts, and real numbers are written with seven digits (%e): scores lose the rest. SQLite's
# own cast gives all of them. Expected: an error, as for a text in a later batch, or texts that give the same numbers.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile adbc-driver-sqlite==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder/scores.db" <<'PYTHON'
import sqlite3, sys
from importlib.metadata import version
import adbc_driver_sqlite.dbapi as adbc

ours = sqlite3.connect(sys.argv[1])
ours.execute("CREATE TABLE score (post INTEGER PRIMARY KEY, aesthetic REAL)")
scores = [6.123456789, 123456789.25, 0.1]
ours.executemany("INSERT INTO score (aesthetic) VALUES (?)", [(score,) for score in scores])
ours.commit()

def read(column):
    with adbc.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM score ORDER BY post")
        return cursor.fetch_arrow_table().column(0).to_pylist()

numbers = read("aesthetic")
ours.execute("INSERT INTO score (aesthetic) VALUES ('')")  # a post without a score
ours.commit()
mixed, cast = read("aesthetic"), read("CAST(aesthetic AS TEXT)")
print("adbc-driver-sqlite", version("adbc-driver-sqlite"), "numbers alone:", numbers, "with an empty text:", mixed, "cast by SQLite:", cast)
assert numbers == scores
assert [float(text) for text in cast[:3]] == scores, cast
assert [float(text) for text in mixed[:3]] == [6.123457, 123456800.0, 0.1], mixed
PYTHON
