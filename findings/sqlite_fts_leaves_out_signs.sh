#!/usr/bin/env bash
# SQLite: a full-text search (FTS5) leaves out a phrase in which its tokenizer sees no word, as Danbooru's tags ^_^, >_< and +_+ are: "1girl" "^_^" finds every 1girl. Written with AND, which the manual gives for the same, it finds nothing, also
# where the tag is; with NOT, it takes nothing away. Expected: one result for both forms, or an error. Signs in the tokenizer's option tokenchars help.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile apsw==3.54.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import apsw

db = apsw.Connection(":memory:")
POSTS = ["1girl ^_^ solo", "1girl >_< solo", "1boy ^_^", "1girl smile"]
FORMS = ['"1girl" "^_^"', '"1girl" AND "^_^"', '"1girl" NOT "^_^"', '"^_^"']

def searches(options):
    """The posts that each search finds in a table of such options."""
    db.execute(f"CREATE VIRTUAL TABLE posts USING fts5(tags{options})")
    db.executemany("INSERT INTO posts (tags) VALUES (?)", [(tags,) for tags in POSTS])
    rows = {form: [row for row, in db.execute("SELECT rowid FROM posts WHERE posts MATCH ? ORDER BY rowid", (form,))] for form in FORMS}
    db.execute("DROP TABLE posts")
    return rows

plain, signs = searches(""), searches(""", tokenize = "unicode61 tokenchars '^_<>+'" """)
print("SQLite", apsw.sqlite_lib_version(), "posts:", POSTS)
for form in FORMS:
    print(f"  {form}: {plain[form]}, with the signs in tokenchars {signs[form]}")
assert list(plain.values()) == [[1, 2, 4], [], [1, 2, 4], []], plain
assert list(signs.values()) == [[1], [1], [2, 4], [1, 3]], signs
PYTHON
