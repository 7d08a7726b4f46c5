#!/usr/bin/env bash
# peewee: a constant beside an IntegerField is made an int before SQL sees it, in comparisons and in arithmetic.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check peewee==4.5.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import peewee

class Post(peewee.Model):
    score = peewee.IntegerField()

db = peewee.SqliteDatabase(":memory:")
with db.bind_ctx([Post]):
    db.create_tables([Post])
    Post.insert_many([{"score": s} for s in (1, 2, 3)]).execute()
    seen = {
        "score >= 2.5 finds": [p.score for p in Post.select().where(Post.score >= 2.5)],
        "score * 1.5 of 3 is": Post.select((Post.score * 1.5).alias("x")).where(Post.score == 3).scalar(),
        "5 % operator is": Post.select().where(Post.score % 2).sql()[0].split("WHERE")[1],
    }
    correct = {"score >= 2.5 finds": [p.score for p in Post.select().where(Post.score >= peewee.Value(2.5, converter=False))]}
print("peewee", peewee.__version__, seen, "with Value(2.5):", correct)
assert seen["score >= 2.5 finds"] == [2, 3], seen
assert seen["score * 1.5 of 3 is"] == 3, seen
assert "LIKE" in seen["5 % operator is"].upper() or "GLOB" in seen["5 % operator is"].upper(), seen
PYTHON
