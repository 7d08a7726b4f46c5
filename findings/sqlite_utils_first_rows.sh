#!/usr/bin/env bash
# sqlite-utils: a column that is None in the first hundred records becomes TEXT, and the numbers that come later are stored as texts: pixiv ids that the early posts lack sort as 10 < 9, and pixiv_id > 5 finds 9 and not 10.
# Expected: numbers stay numbers, as SQLite keeps them in a column without a type.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile sqlite-utils==4.2.1
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3
from importlib.metadata import version
from sqlite_utils import Database

database = Database(memory=True)
records = [{"id": number, "pixiv_id": None} for number in range(1, 101)] + [{"id": 101, "pixiv_id": 9}, {"id": 102, "pixiv_id": 10}]
database["late"].insert_all(records)
database["early"].insert_all(records[::-1])
database.execute("CREATE TABLE plain (id, pixiv_id)")
database["plain"].insert_all(records)
seen = {}
for table in ("late", "early", "plain"):
    rows = database.execute(f"SELECT pixiv_id FROM {table} WHERE pixiv_id NOTNULL ORDER BY pixiv_id").fetchall()
    above = database.execute(f"SELECT pixiv_id FROM {table} WHERE pixiv_id > 5 ORDER BY id").fetchall()
    seen[table] = [row[0] for row in rows], [row[0] for row in above]
print("sqlite-utils", version("sqlite-utils"), "SQLite", sqlite3.sqlite_version, "in order, and those above 5, when the numbers come late, early, or into a table without types:", seen)
assert seen["late"] == (["10", "9"], ["9"]), seen
assert seen["early"][0] == seen["plain"][0] == [9, 10] and sorted(seen["early"][1]) == seen["plain"][1] == [9, 10], seen
PYTHON
