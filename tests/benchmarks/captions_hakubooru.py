"""Compare the format `hakubooru` with HakuBooru 0.0.3 itself: `python captions_hakubooru.py FILE --python OLD --posts N`.

OLD is the Python of an environment of its own: `pip install hakubooru==0.0.3 'peewee<4' tqdm python-dateutil webdataset`.
A copy of FILE is made that has odd posts and tags too; the posts are spread over it. Prints the speed of both and the
first differences; exits 1 where there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import hakubooru as hb
from hakubooru.caption import Captioner

# What a generated file lacks, each for some posts.
_ODD = """
UPDATE post SET created_at = '' WHERE id % 61 = 1;
UPDATE post SET created_at = 'yesterday' WHERE id % 61 = 2;
UPDATE post SET created_at = '2016-02-30T00:00:00.000-05:00' WHERE id % 61 = 3;
UPDATE post SET created_at = '1999-12-31T23:59:59.000-05:00' WHERE id % 61 = 4;
UPDATE post SET created_at = '2025-01-01T00:00:00.000-05:00' WHERE id % 61 = 5;
UPDATE post SET created_at = '2010-12-31T23:59:59-05:00' WHERE id % 61 = 6;
UPDATE post SET fav_count = id % 300 WHERE id % 3 = 1;
INSERT INTO posttagrelation (post_id, tag_id) SELECT post_id, tag_id FROM posttagrelation WHERE post_id % 61 = 7;
DELETE FROM posttagrelation WHERE post_id % 61 = 8;
DELETE FROM posttagrelation WHERE post_id % 61 = 9 AND tag_id % 5 > 0;
UPDATE post SET id = id + 7000000 WHERE id % 61 = 10;
UPDATE posttagrelation SET post_id = post_id + 7000000 WHERE post_id % 61 = 10;
UPDATE tag SET name = 'banned_' || name WHERE type = 1 AND id % 7 = 0;
UPDATE tag SET name = name || '_request' WHERE type = 4 AND id % 3 = 0;
UPDATE tag SET name = 'a_' || char(13312 + id % 20000) WHERE id % 101 = 0;
UPDATE tag SET name = 'x_|||_' || name WHERE id % 103 = 0;
UPDATE tag SET name = '_' || name || '_' WHERE id % 107 = 0;
UPDATE tag SET name = substr('                      ', 1, id / 6000) WHERE id % 6000 = 1;
"""

# Runs under HakuBooru's own Python: reads ids, writes a caption a line, says how long it took.
_OLD = """
import json, sys, time
from pathlib import Path
from hakubooru.caption import KohakuCaptioner
import hakubooru.dataset.db as db
file, ids, out = sys.argv[1:]
db.load_db(file)
captioner = KohakuCaptioner()
began = time.perf_counter()
with open(out, "w", encoding="utf-8") as lines:
    for i in json.loads(Path(ids).read_text()):
        lines.write(json.dumps(captioner.caption(db.Post.get_by_id(i), b"")) + "\\n")
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--python", required=True, help="The Python that has HakuBooru 0.0.3.")
    parser.add_argument("--posts", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(odd_copy(arguments.file, Path(folder)), arguments.python, arguments.posts)


def odd_copy(file: Path, folder: Path) -> Path:
    copy = folder / "odd.db"
    shutil.copyfile(file, copy)
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.executescript(f"BEGIN; {_ODD} COMMIT;")
    return copy


def compare(file: Path, python: str, posts: int) -> None:
    with hb.open(file) as database:
        everything = database.posts.to_ids()
        places = np.linspace(0, len(everything) - 1, min(posts, len(everything))).astype(np.int64)
        ids = everything[np.unique(places)]
        start = time.perf_counter()
        ours = dict(Captioner(database, "hakubooru").captions(ids))
        seconds = time.perf_counter() - start
    theirs, their_seconds = old_captions(file, ids.tolist(), python)
    different = [post_id for post_id in ours if ours[post_id] != theirs[post_id]]
    print(f"HakuBooru 0.0.3  {len(ids) / their_seconds:>10,.0f} captions a second")
    print(
        f"hakubooru        {len(ids) / seconds:>10,.0f} captions a second, {their_seconds / seconds:.0f} times as many"
    )
    print(f"{len(different):,} of {len(ids):,} captions differ")
    for post_id in different[:5]:
        print(f"{post_id}\n  {theirs[post_id]!r}\n  {ours[post_id]!r}")
    sys.exit(bool(different))


def old_captions(file: Path, ids: list[int], python: str) -> tuple[dict[int, str], float]:
    """HakuBooru's captions by id, and the seconds that they took."""
    with tempfile.TemporaryDirectory() as folder:
        id_file, out = Path(folder, "ids.json"), Path(folder, "captions.jsonl")
        id_file.write_text(json.dumps(ids), encoding="utf-8")
        command = [python, "-c", _OLD, str(file.resolve()), str(id_file), str(out)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder).stdout
        lines = out.read_text(encoding="utf-8").splitlines()
    return dict(zip(ids, map(json.loads, lines), strict=True)), float(output.splitlines()[-1])


if __name__ == "__main__":
    main()
