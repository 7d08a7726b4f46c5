#!/usr/bin/env bash
# peewee: what an SQL function gives is converted to the type of the column that is its first argument: SQRT(score) and COALESCE(score, 0.5) of an IntegerField lose their fraction, LENGTH(md5) of a CharField is the text '32', and
# TOTAL of a BooleanField, the number of posts with a flag, is True. SUM, AVG and COUNT are left alone. Expected: what SQLite gives. fn.SQRT(…).coerce(False) gives it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile peewee==4.5.3
"$folder/venv/bin/python" - <<'PYTHON'
import sqlite3
from importlib.metadata import version
from peewee import BooleanField, CharField, IntegerField, Model, SqliteDatabase, fn

database = SqliteDatabase(":memory:")

class Post(Model):
    score = IntegerField(null=True)
    md5 = CharField()
    is_deleted = BooleanField()

    class Meta:
        database = database

database.create_tables([Post])
for score in (7, None, 2):
    Post.create(score=score, md5=f"{score or 0:032x}", is_deleted=True)
functions = {
    "SQRT(score)": (fn.SQRT(Post.score), [2, None, 1]), "COALESCE(score, 0.5)": (fn.COALESCE(Post.score, 0.5), [7, 0, 2]),
    "LENGTH(md5)": (fn.LENGTH(Post.md5), ["32"] * 3), "TOTAL(is_deleted)": (fn.TOTAL(Post.is_deleted), [True]), "AVG(score)": (fn.AVG(Post.score), [4.5]),
}
print("peewee", version("peewee"), "SQLite", sqlite3.sqlite_version, "as peewee gives it, and with coerce(False):")
for text, (function, wanted) in functions.items():
    given = [row[0] for row in Post.select(function).tuples()]
    plain = [row[0] for row in Post.select(function.coerce(False)).tuples()]
    raw = [row[0] for row in database.execute_sql(f"SELECT {text} FROM post")]
    print(f"  {text}: {given}, {plain}")
    assert given == wanted and list(map(type, given)) == list(map(type, wanted)), (text, given)
    assert plain == raw and (text == "AVG(score)" or plain != given or text.startswith("TOTAL")), (text, plain, raw)
PYTHON
