"""Exports beside the plain tools that do the least that could be done: time, rate and memory.

    python tests/benchmarks/export.py [ROW…] [--tars N] [--rounds N] [--workers N]

Rows: copy (beside `tar -xf`), sparse (1% of the images by an index, beside reads of just those), webdataset (beside
`tar -cf`), convert (1 MP, webp 90, beside a bare loop of Pillow in as many processes), memory (4 tars and N).
Both sides run in turn, on one disk, with the page cache warm; the best of each counts. Ours is from the call of
`Selection.export` to its return, captions, hashes and manifest included. What they write is removed at the end: an
ext4 without journal is slow to give out inodes that were just set free.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from export_set import FOLDER, write_set

EXPORT = """
import json, sys, time
import hakubooru as hb
if __name__ == "__main__":
    database, images, out, options, share = sys.argv[1:]
    with hb.open(database) as db:
        posts = db.posts if share == "1" else db.posts.sample(fraction=float(share), seed=1)
        posts.count()
        start = time.perf_counter()
        report = posts.export(out, images=images, **json.loads(options))
        print(json.dumps({"seconds": time.perf_counter() - start, "count": report.exported, "bytes": report.bytes}))
"""
BARE_LOOP = """
import io, json, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from PIL import Image

def convert(task):
    tar, offsets, out = task
    with open(tar, "rb") as file:
        for number, offset, size in offsets:
            file.seek(offset)
            with Image.open(io.BytesIO(file.read(size))) as image:
                scale = min(1, (1_000_000 / (image.width * image.height)) ** 0.5)
                image = image.convert("RGB").resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
                image.save(f"{out}/{number}.webp", quality=90)

if __name__ == "__main__":
    tasks, workers = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(len, [()] * workers))
        start = time.perf_counter()
        list(pool.map(convert, tasks))
        print(json.dumps({"seconds": time.perf_counter() - start}))
"""


class Bench:
    """The set, and a place for what is written."""

    def __init__(self, tars: int, workers: int) -> None:
        self.workers = workers
        self.folder = write_set(tars)
        self.database = self.folder / f"posts{tars}.db"
        self.images = self.folder / f"images{tars}"
        self.written = self.folder / f"written{time.time_ns()}"
        self.written.mkdir()
        self.number = 0
        for tar in self.images.glob("*.tar"):
            tar.read_bytes()

    def out(self) -> Path:
        self.number += 1
        path = self.written / str(self.number)
        path.mkdir()
        return path

    def export(self, share: str = "1", **options: object) -> dict:
        """Seconds, pairs, and the most memory at one time, summed over the processes (PSS)."""
        script = FOLDER / "export_once.py"
        script.write_text(EXPORT)
        arguments = [
            self.database,
            self.images,
            self.out(),
            json.dumps({"workers": self.workers} | options),
            share,
        ]
        process = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_pss(process.pid))
            time.sleep(0.2)
        return json.loads(process.stdout.read()) | {"peak_mb": peak / 1024}

    def unpack(self) -> dict:
        out = self.out()
        start = time.perf_counter()
        for tar in sorted(self.images.glob("*.tar")):
            subprocess.run(["tar", "-xf", tar, "-C", out], check=True)
        return {"seconds": time.perf_counter() - start, "count": len(list(out.iterdir()))}

    def pack(self) -> dict:
        unpacked = self.out()
        for tar in sorted(self.images.glob("*.tar")):
            subprocess.run(["tar", "-xf", tar, "-C", unpacked], check=True)
        for image in list(unpacked.iterdir()):
            image.with_suffix(".txt").write_text("1girl, solo, " * 20)
        out = self.out()
        start = time.perf_counter()
        subprocess.run(["tar", "-cf", out / "all.tar", "-C", unpacked, "."], check=True)
        return {"seconds": time.perf_counter() - start, "count": len(list(unpacked.glob("*.webp")))}

    def read_some(self, share: float) -> dict:
        places = self._places(share)
        out = self.out()
        start = time.perf_counter()
        for tar, members in places:
            with Path(tar).open("rb", buffering=0) as file:
                for number, offset, size in members:
                    file.seek(offset)
                    (out / f"{number}.webp").write_bytes(file.read(size))
        return {"seconds": time.perf_counter() - start, "count": sum(len(members) for _, members in places)}

    def bare_loop(self, share: float) -> dict:
        script, tasks = FOLDER / "bare_loop.py", FOLDER / "tasks.json"
        script.write_text(BARE_LOOP)
        out = self.out()
        places = self._places(share)
        tasks.write_text(json.dumps([(tar, members, str(out)) for tar, members in places]))
        command = [sys.executable, script, tasks, str(self.workers)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(shown.stdout) | {"count": sum(len(members) for _, members in places)}

    def _places(self, share: float) -> list:
        """Where the sampled posts' images lie, by tar; keeps the indexes that the export will use."""
        import numpy as np

        import hakubooru as hb
        from hakubooru.image.index import build_index, load_index, save_index

        with hb.open(self.database) as db:
            ids = db.posts.sample(fraction=share, seed=1).to_ids()
        places = []
        for tar in sorted(map(str, self.images.glob("*.tar"))):
            index = load_index(tar) or build_index(tar)
            save_index(tar, index)
            rows = np.flatnonzero(np.isin(index.ids, ids))
            columns = (index.ids[rows].tolist(), index.offsets[rows].tolist(), index.sizes[rows].tolist())
            places.append((tar, list(zip(*columns, strict=True))))
        return places


def tree_pss(pid: int) -> int:
    """Proportional set size in kB of a process and its children."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return own + sum(tree_pss(int(child)) for child in children)


def best(runs: list[dict]) -> dict:
    return min(runs, key=lambda run: run["seconds"])


def compare(title: str, rounds: int, beside: tuple, ours: tuple, goal: float) -> None:
    name, other = beside
    others, own = [], []
    for _ in range(rounds):
        others.append(other())
        own.append(ours[1]())
    theirs, mine = best(others), best(own)
    for label, run in ((name, theirs), (ours[0], mine)):
        print(f"{title:<12}{label:<38}{run['seconds']:8.2f} s {run['count'] / run['seconds']:9,.0f} a second")
    print(
        f"{title:<12}ratio {mine['seconds'] / theirs['seconds']:.2f} (goal: at most {goal}), peak {mine['peak_mb']:.0f} MB\n",
        flush=True,
    )


def main() -> None:
    rows = ("copy", "sparse", "webdataset", "convert", "memory")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(rows))
    parser.add_argument("--tars", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    bench = Bench(options.tars, options.workers)
    few = 400 / (options.tars * 1000)
    shape = {"format": "webp", "quality": 90, "max_pixels": 1_000_000}
    table = {
        "copy": (("tar -xf", bench.unpack), ("pairs", bench.export), 1.5),
        "sparse": (
            ("reads and writes", lambda: bench.read_some(0.01)),
            ("pairs", lambda: bench.export("0.01")),
            2,
        ),
        "webdataset": (("tar -cf", bench.pack), ("shards", lambda: bench.export(sink="webdataset")), 1.5),
        "convert": (
            ("decode, resize, encode", lambda: bench.bare_loop(few)),
            ("pairs", lambda: bench.export(str(few), image=shape)),
            1.1,
        ),
    }
    for row in options.rows or rows:
        if row in table:
            beside, ours, goal = table[row]
            compare(row, options.rounds, beside, ours, goal)
    if "memory" in (options.rows or rows):
        small = Bench(4, options.workers)
        few_mb, many_mb = small.export()["peak_mb"], bench.export()["peak_mb"]
        print(
            f"memory      {few_mb:.0f} MB for 4 tars, {many_mb:.0f} MB for {options.tars} (goal: within 10%, at most 400)"
        )
        shutil.rmtree(small.written)
    for index in bench.images.glob("*.hbindex"):
        index.unlink()
    shutil.rmtree(bench.written)


if __name__ == "__main__":
    main()
