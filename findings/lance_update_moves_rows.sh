#!/usr/bin/env bash
# lance (pylance): update and merge_insert write the changed rows anew at the end of the table: after the score of one post was set, take([1]), slices and a DataLoader's index 1 give another post, also where nothing was added or deleted. A list of indices that was made before, as a split or captions kept beside the
# table, then belongs to other posts without an error. Expected: the order of the rows stays, as in SQL tables with a rowid, Arrow and pandas.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile pylance==14.0.2 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
import lance, pyarrow as pa

print("pylance", version("pylance"))
path = f"{sys.argv[1]}/posts.lance"
posts = lance.write_dataset(pa.table({"id": [10, 11, 12, 13, 14], "score": [0, 0, 0, 0, 0]}), path)

def look(what):
    """The ids in the order of the table as it is opened anew, and the one at index 1."""
    again = lance.dataset(path)
    order, second = again.to_table()["id"].to_pylist(), again.take([1])["id"].to_pylist()
    print(f"  {what}: ids {order}, index 1 is post {second[0]}, {again.count_rows()} rows")
    return order

assert look("written") == [10, 11, 12, 13, 14]
posts.update({"score": "5"}, where="id = 11")
assert look("score of post 11 set") == [10, 12, 13, 14, 11]
posts.merge_insert("id").when_matched_update_all().execute(pa.table({"id": [10, 13], "score": [7, 7]}))
order = look("scores of posts 10 and 13 merged")
assert order[:3] == [12, 14, 11] and sorted(order[3:]) == [10, 13], order
PYTHON
