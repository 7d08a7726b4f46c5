"""Selections beside the plainest SQL for the same, on one file in one run: `python selection.py [FILE.db] [--posts N]`.

Every measurement is a process of its own; what is compared runs in turn, three times, with the page cache warm, and the
best time counts. Imports are not counted. `--optimize` makes the sidecar first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = 3
AROUND = """
import json, resource, sqlite3, sys, time
import adbc_driver_manager, adbc_driver_sqlite, pandas, pyarrow.compute
import numpy as np
import hakubooru as hb
from hakubooru import Post
[getattr(hb, name) for name in hb.__all__]
connection = sqlite3.connect("file:{file}?mode=ro", uri=True)
db = hb.open("{file}")
_, last_id = db.ends("post")
{before}
start = time.perf_counter()
{body}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20)
print(json.dumps({{"count": int(count), "seconds": seconds, "peak": peak}}))
"""
SCAN = """
count = len([i for (i,) in connection.execute(
    "SELECT id FROM post WHERE NOT is_deleted AND NOT (md5 IS NULL AND file_url IS NULL AND NOT is_banned)"
    " AND md5 IS NOT NULL AND file_ext IN ('jpg', 'png', 'webp', 'avif')")])
"""
RELATIONS = (
    "count = connection.execute('SELECT SUM(post_id), SUM(tag_id) FROM posttagrelation').fetchone()[1] % 1000"
)
EPSILON = "epsilon = hb.Recipe.load('epsilon').select(db, scale={scale})\ncount = len(epsilon.to_ids())"
BEARING = "(SELECT post_id FROM posttagrelation WHERE tag_id = (SELECT id FROM tag WHERE name = '{}'))"
NESTED = (
    'count = len([i for (i,) in connection.execute("SELECT id FROM post WHERE id IN '
    + " AND id IN ".join(BEARING.format(name) for name in ("1girl", "solo", "long_hair"))
    + " AND id NOT IN "
    + BEARING.format("comic")
    + '")])'
)


SOME = "db.posts.ids(1, last_id * 2 // 3)"


def search(text: str) -> str:
    return f"count = db.posts.search({text!r}).count()"


@dataclass(frozen=True)
class Row:
    what: str
    body: str
    beside: str | None = None
    before: str = ""
    goal: str = ""


def rows(scale: float) -> dict[str, list[Row]]:
    epsilon = EPSILON.format(scale=scale)
    warmup = f"{epsilon}\ndb.posts.score(min=10**6).where(Post.up_score > 10**6).count()"
    published = [
        Row("the epsilon recipe to ids", epsilon, SCAN, goal="<= 1.5 x, <= 600 MB"),
        Row("again, same session", epsilon, before=warmup, goal="<= 0.5 s"),
        Row(
            "score, favourites, area, same session",
            "count = db.posts.score(min=5).fav_count(max=90).where(Post.image_width * Post.image_height > 10**6).count()",
            before=warmup,
            goal="<= 0.5 s",
        ),
        Row("first number asked for after epsilon", "count = db.posts.score(min=5).count()", before=epsilon),
        Row("1girl solo long_hair -comic", search("1girl solo long_hair -comic"), NESTED, goal="<= 1.1 x"),
        Row("1girl id:11..30", search("1girl id:11..30")),
        Row("1girl date:2019-05-01", search("1girl date:2019-05-01")),
        Row(
            "sample_per character, 200",
            "count = db.posts.sample_per('character', at_most=200, seed=1).count()",
            RELATIONS,
            goal="<= 1.5 x",
        ),
    ]
    optimized = [
        Row("the epsilon recipe to ids", epsilon, SCAN),
        Row(
            "1girl solo long_hair -comic",
            search("1girl solo long_hair -comic"),
            NESTED,
            goal="<= 0.25 s, >= 40 x",
        ),
        Row("a rare tag and a rating", search("frieren rating:g"), goal="<= 0.05 s"),
        Row(
            "three tags and three metatags",
            search("1girl solo smile rating:g,s score:>=5 width:>=800"),
            goal="<= 0.3 s",
        ),
        Row(
            "sample_per character, 200",
            "count = db.posts.sample_per('character', at_most=200, seed=1).count()",
            goal="<= 3 s",
        ),
        Row(
            "tag counts of two posts in three",
            f"count = len({SOME}.tag_counts())",
            goal="<= 1 s at full size",
        ),
        Row("stats of two posts in three", f"count = {SOME}.stats().posts", goal="<= 3 s at full size"),
        Row("1girl order:score limit:20", search("1girl order:score limit:20"), goal="<= 0.1 s"),
        Row("order:favcount limit:20", search("order:favcount limit:20"), goal="<= 0.1 s"),
        Row("order:random limit:20", search("order:random limit:20"), goal="<= 0.1 s"),
        Row("order:favcount", search("order:favcount")),
        Row("order:random", search("order:random")),
        Row("date:2019 tagcount:>40", search("date:2019 tagcount:>40")),
    ]
    return {"as published": published, "after `db optimize`": optimized}


def measure(file: Path, body: str, before: str = "") -> dict:
    code = AROUND.format(file=os.fspath(file), body=body, before=before)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if process.returncode:
        sys.exit(process.stderr)
    return json.loads(process.stdout)


def report(file: Path, row: Row) -> None:
    runs = [
        (measure(file, row.body, row.before), row.beside and measure(file, row.beside)) for _ in range(RUNS)
    ]
    ours = min((run[0] for run in runs), key=lambda run: run["seconds"])
    beside = min((run[1] for run in runs if run[1]), key=lambda run: run["seconds"], default=None)
    ratio = f"{ours['seconds'] / beside['seconds']:.3f} x of {beside['seconds']:.2f} s" if beside else ""
    print(
        f"| {row.what} | {ours['seconds']:.3f} s | {ratio} | {ours['peak']:.0f} MB | {row.goal} | {ours['count']:,} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--posts", type=int, default=1_000_000)
    options = parser.parse_args()
    file = options.file or Path(".bench") / f"posts{options.posts}.db"
    if not file.exists():
        from generate import generate

        file.parent.mkdir(exist_ok=True)
        generate(file, options.posts, seed=1)
    import hakubooru as hb
    from hakubooru.engine.cache import open_sidecar
    from hakubooru.engine.optimize import optimize

    with hb.open(file) as db:
        info = db.info()
        if open_sidecar(file) is None:
            optimize(db)
    scale = info.last_id / 7_350_000
    bare = file.parent / "published" / file.name
    bare.parent.mkdir(exist_ok=True)
    if not bare.exists():
        bare.hardlink_to(file)
    print(f"{info.posts:,} posts, {info.relations:,} relations, {info.size_bytes / 1e9:.1f} GB\n")
    for title, table in rows(scale).items():
        print(f"| {title} | time | beside | peak | goal | count |\n|---|---|---|---|---|---|")
        for row in table:
            report(bare if title == "as published" else file, row)
        print()


if __name__ == "__main__":
    main()
