"""Captions of 200,000 posts beside SQLite's bare reading of their tags, and beside HakuBooru 0.0.3.

    python tests/benchmarks/captions.py [FILE] [--old PYTHON] [--all]

Each runs three times in a process of its own on one core, in turn, with the page cache warm; the best time counts, and
a whole run is
timed, from an open database and loaded libraries to the last caption. PYTHON is one that has HakuBooru 0.0.3 (see
captions_hakubooru.py); it makes 3,000 of the captions. `--all` writes 5.2 million captions by two workers instead, and
watches their memory: it wants a file of that size, two idle cores and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from pathlib import Path

from captions_hakubooru import old_captions

import hakubooru as hb
from hakubooru.caption import CaptionChange

POSTS, OLD_POSTS, ALL_POSTS = 200_000, 3_000, 5_200_000
BARE = """
import sqlite3
connection = sqlite3.connect("file:{file}?mode=ro", uri=True)
ids = json.loads(Path("{ids}").read_text())
start = time.perf_counter()
count = sum(1 for _ in connection.execute(
    "SELECT post_id, group_concat(tag_id) FROM posttagrelation"
    " WHERE post_id BETWEEN ? AND ? GROUP BY post_id", [ids[0], ids[-1]]))
"""
OURS = """
import numpy as np
import hakubooru as hb
ids = np.array(json.loads(Path("{ids}").read_text()))
with hb.open("{file}") as database:
    from hakubooru.caption import Captioner
    list(Captioner(database).captions(ids[:1]))  # loads Arrow and what it loads
    start = time.perf_counter()
    count = sum(1 for _ in Captioner(database, "kohaku-epsilon").captions(ids))
"""
AROUND = """
import json, os, sys, time
from pathlib import Path
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
{body}
print(json.dumps(count / (time.perf_counter() - start)))
"""


def rate(body: str, file: Path, ids: Path) -> float:
    """Posts a second."""
    code = AROUND.format(body=body).replace("{file}", file.as_posix()).replace("{ids}", ids.as_posix())
    return json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout)


def compare(file: Path, old: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder, hb.open(file) as database:
        posts = database.posts.limit(POSTS).to_ids().tolist()
        ids = Path(folder, "ids.json")
        ids.write_text(json.dumps(posts), encoding="utf-8")
        runs = [(rate(BARE, file, ids), rate(OURS, file, ids)) for _ in range(3)]
    bare, ours = (max(rates) for rates in zip(*runs, strict=True))
    print(f"{len(posts):,} posts of {file.name}, one core; posts a second, the best of three")
    print(f"  bare GROUP BY post_id {bare:>12,.0f}")
    print(f"  kohaku-epsilon        {ours:>12,.0f}   {ours / bare:.2f} x the bare query (goal 0.5)")
    if old:
        _, seconds = old_captions(file, posts[:OLD_POSTS], old)
        theirs = OLD_POSTS / seconds
        print(f"  HakuBooru 0.0.3       {theirs:>12,.0f}   we are {ours / theirs:.0f} x that (goal 60)")


def change() -> None:
    caption = "1girl, hatsune miku, vocaloid, bespin ||| " + ", ".join(f"general tag {i}" for i in range(35))
    caption_change = CaptionChange(drop_tags=0.15)
    best = min(timeit.repeat(lambda: caption_change(caption, 1_234_567), number=2000, repeat=15)) / 2000
    print(f"  shuffle and dropout   {best * 1e6:>12.1f}   µs a caption of 39 tags (goal 15)")


def write_all(file: Path, out: Path) -> None:
    """Write 5.2 million captions, and print the memory of all processes together at every tenth."""
    samples: list[tuple[float, int]] = []
    stop = threading.Event()
    start = time.perf_counter()

    def watch() -> None:
        while not stop.wait(0.5):
            samples.append((time.perf_counter() - start, pss_of_family(os.getpid())))

    watcher = threading.Thread(target=watch)
    with hb.open(file) as database:
        captions = database.posts.limit(ALL_POSTS).captions("kohaku-epsilon")
        print(f"{len(captions):,} captions of {file.name} to {out.suffix}, two workers")
        start = time.perf_counter()
        watcher.start()
        captions.write(out, workers=2)
        seconds = time.perf_counter() - start
        stop.set()
        watcher.join()
    tenths = [samples[len(samples) * tenth // 10][1] for tenth in range(1, 10)]
    print(
        f"  {seconds:.0f} s, {len(captions) / seconds:,.0f} captions a second, {out.stat().st_size / 1e9:.2f} GB"
    )
    print(f"  PSS summed, MB: at most {max(pss for _, pss in samples):,}; at each tenth {tenths}")


def pss_of_family(pid: int) -> int:
    """Memory of a process and its descendants in MB, shared pages counted once."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return own // 1024 + sum(pss_of_family(child) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--old", help="A Python that has HakuBooru 0.0.3.")
    parser.add_argument("--all", action="store_true", help="Write 5.2 million captions instead.")
    options = parser.parse_args()
    posts = 7_350_000 if options.all else 1_000_000
    file = options.file or Path(".bench") / f"posts{posts}.db"
    if not file.exists():
        from generate import generate

        file.parent.mkdir(exist_ok=True)
        generate(file, posts, seed=1)
    if options.all:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            write_all(file, Path(folder, "captions.jsonl"))
    else:
        compare(file, options.old)
        change()


if __name__ == "__main__":
    main()
