#!/usr/bin/env bash
# peewee: insert_many takes its columns from the first dictionary. What later ones have beyond it is dropped without an error, in all rows of the call: a pixiv_id that the first post lacks is lost
# for all. Expected: an error, or NULL where it lacks. A key that the first one has and a later one lacks is NULL there.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile peewee==4.5.3
"$folder/venv/bin/python" - <<'PYTHON'
import peewee

class Post(peewee.Model):
    pixiv = peewee.IntegerField(null=True)

db = peewee.SqliteDatabase(":memory:")
posts = [{"id": 1}, {"id": 2, "pixiv": 52}, {"id": 3, "pixiv": 53}]
seen = {}
with db.bind_ctx([Post]):
    db.create_tables([Post])
    for order, some in {"as they are": posts, "turned round": posts[::-1]}.items():
        Post.delete().execute()
        Post.insert_many(some).execute()
        seen[order] = sorted(Post.select(Post.id, Post.pixiv).tuples())
print("peewee", peewee.__version__, seen)
assert seen["turned round"] == [(1, None), (2, 52), (3, 53)], seen
assert seen["as they are"] == [(1, None), (2, None), (3, None)], seen
PYTHON
