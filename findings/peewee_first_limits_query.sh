#!/usr/bin/env bash
# peewee: first() writes its limit into the query that it is called on: a look at the first post of a selection leaves one post of it, for the loop and the count that follow. get() and exists() leave the query whole, and every other method that narrows one
# gives a copy. Expected: the same posts before and after. query.clone().first() helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile peewee==4.5.3
"$folder/venv/bin/python" - <<'PYTHON'
import peewee

db = peewee.SqliteDatabase(":memory:")

class Post(peewee.Model):
    score = peewee.IntegerField()

    class Meta:
        database = db

db.create_tables([Post])
Post.insert_many([{"score": score} for score in range(10)]).execute()

def after(look):
    """How many posts a query has and counts, after something looked at it."""
    query = Post.select().where(Post.score >= 2).order_by(Post.score)
    look(query)
    return len(list(query)), query.count()

looks = {
    "nothing": lambda query: None,
    "get": lambda query: query.get(),
    "exists": lambda query: query.exists(),
    "limit": lambda query: list(query.limit(1)),
    "first": lambda query: query.first(),
    "first of a copy": lambda query: query.clone().first(),
}
seen = {name: after(look) for name, look in looks.items()}
print("peewee", peewee.__version__, "posts and count of a query of eight after:", seen)
assert seen.pop("first") == (1, 1), seen
assert set(seen.values()) == {(8, 8)}, seen
PYTHON
