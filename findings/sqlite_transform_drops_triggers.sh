#!/usr/bin/env bash
# sqlite-utils, peewee: transform, and the add_not_null, drop_not_null and alter_column_type of playhouse.migrate, make a new table, copy the rows and put the indexes back, and leave the triggers behind. Those of enable_fts(create_triggers=True)
# are among them: after a change of a column's type, search no longer finds what is added, and goes on finding what was deleted. Nothing says so. Expected: the triggers are made anew, as SQLite's guide to ALTER TABLE asks.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile sqlite-utils==4.2.1 peewee==4.5.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sqlite3, sys
from importlib.metadata import version
import peewee
from playhouse.migrate import SqliteMigrator, migrate
from sqlite_utils import Database

def by_sqlite(path):
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE post ADD COLUMN other REAL")

def by_sqlite_utils(path):
    Database(path)["post"].transform(types={"score": float})

def by_peewee(path):
    migrate(SqliteMigrator(peewee.SqliteDatabase(path)).alter_column_type("post", "score", peewee.FloatField()))

print("sqlite-utils", version("sqlite-utils"), "peewee", peewee.__version__, "SQLite", sqlite3.sqlite_version, "triggers, and posts that a search for solo finds after one was added and one deleted:")
seen = {}
for change in (by_sqlite, by_sqlite_utils, by_peewee):
    path = f"{sys.argv[1]}/{change.__name__}.db"
    connection = sqlite3.connect(path)
    post = Database(connection)["post"]
    post.insert_all([{"id": 1, "tags": "1girl solo", "score": 5}, {"id": 2, "tags": "2girls", "score": 7}], pk="id")
    post.create_index(["score"])
    post.enable_fts(["tags"], create_triggers=True)
    connection.commit()
    change(path)
    connection.execute("INSERT INTO post (id, tags, score) VALUES (3, 'solo', 1)")
    connection.execute("DELETE FROM post WHERE id = 1")
    triggers = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()[0]
    matches = [row[0] for row in connection.execute("SELECT rowid FROM post_fts WHERE post_fts MATCH 'solo'")]
    seen[change.__name__] = triggers, matches, len(post.indexes)
    print(f"  {change.__name__}: {triggers}, {matches}; indexes: {len(post.indexes)}")
assert seen["by_sqlite"] == (3, [3], 1), seen
assert seen["by_sqlite_utils"] == seen["by_peewee"] == (0, [1], 1), seen
PYTHON
