"""Exports beside the plain tools that do the least that could be done: time, rate and memory.

    python tests/benchmarks/export.py [ROW…] [--tars N] [--rounds N] [--workers N] [--old PYTHON] [--fill FILE]

Rows: copy (beside `tar -xf`), sparse (1% of the images by an index, beside a bare loop that reads just those, hashes them
and writes them with texts; the second export of a process counts), tenth (10% of them), webdataset (beside `tar -cf`),
convert (1 MP, webp 90, beside a bare loop of Pillow in as many processes), memory (4 tars and N),
hakubooru (the Exporter of HakuBooru 0.0.3; PYTHON is one that has it: `pip install 'peewee<4' tqdm
python-dateutil webdataset`, then `pip install --no-deps hakubooru==0.0.3`).

Both sides run in turn, on one disk, with the page cache warm and nothing waiting to be written; the medians count. Ours is
from the call of `Selection.export` to its return, captions, hashes and manifest included. Takes a quarter of an hour and 25 GB.

A virtual machine that gives free memory back to its host takes longer to fetch it again than either side takes for its
work. There FILE, which is read before each run, should be larger than the memory (`truncate -s 26G FILE` makes one):
what is written then takes the place of what was read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
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
        posts = db.posts
        if share != "1":
            posts = posts.sample(fraction=float(share), seed=1)
        posts.count()
        seconds = []
        for run in ("first", "again"):
            start = time.perf_counter()
            report = posts.export(f"{out}/{run}", images=images, **json.loads(options))
            seconds.append(time.perf_counter() - start)
            if share not in ("0.01", "0.1"):
                break
        print(json.dumps({"seconds": seconds[0], "again": seconds[-1], "count": report.exported}))
"""
PROGRAM = "import hakubooru.export, pyarrow.compute, pyarrow.parquet"
HAKUBOORU = """
import json, sys, time
import hakubooru.dataset.db as db
database, images, out = sys.argv[1:]
db.load_db(database)
from hakubooru.caption import KohakuCaptioner
from hakubooru.export import Exporter, FileSaver
from hakubooru.source import TarSource
posts = list(db.Post.select())
start = time.perf_counter()
Exporter(TarSource(images), FileSaver(out), KohakuCaptioner()).export_posts(posts)
print(json.dumps({"seconds": time.perf_counter() - start, "count": len(posts)}))
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

    def __init__(self, tars: int, workers: int, fill: Path | None = None) -> None:
        self.workers = workers
        self.fill = fill
        self.folder = write_set(tars)
        self.database = self.folder / f"posts{tars}.db"
        self.images = self.folder / f"images{tars}"
        self.written = self.folder / f"written{time.time_ns()}"
        self.number = 0

    def out(self, *, refill: bool = True) -> Path:
        """A new folder, with program, database and tars in the page cache and nothing waiting to be written."""
        if self.fill and refill:
            with self.fill.open("rb", buffering=0) as file:
                # What is read again, while it is still there, would stay longer than the tars.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while file.read(2**22):
                    pass
            subprocess.run([sys.executable, "-c", PROGRAM], check=True)
        for path in (self.database, *self.images.glob("*.tar")):
            path.read_bytes()
        os.sync()
        self.number += 1
        path = self.written / str(self.number)
        path.mkdir(parents=True)
        return path

    def clean(self) -> None:
        """Remove what was written; an ext4 without journal gives out no inode for a minute, and looks for another."""
        shutil.rmtree(self.written, ignore_errors=True)
        os.sync()
        time.sleep(61)

    def export(
        self, share: str = "1", *, images: Path | None = None, watch: bool = False, **options: object
    ) -> dict:
        """Seconds and pairs; if watched, the most memory at one time, summed over the processes (PSS)."""
        script = FOLDER / "export_once.py"
        script.write_text(EXPORT)
        keywords = json.dumps({"workers": self.workers} | options)
        process = subprocess.Popen(
            [sys.executable, script, self.database, images or self.images, self.out(), keywords, share],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        peak = 0
        while watch and process.poll() is None:
            peak = max(peak, tree_pss(process.pid))
            time.sleep(0.2)
        return json.loads(process.communicate()[0]) | {"peak_mb": peak / 1024}

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
        out = self.out(refill=False)
        start = time.perf_counter()
        subprocess.run(["tar", "-cf", out / "all.tar", "-C", unpacked, "."], check=True)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "count": len(list(unpacked.glob("*.webp")))}

    def links(self) -> Path:
        """The tars under names that HakuBooru reads."""
        links = self.out()
        for tar in sorted(self.images.glob("*.tar")):
            # It passes over archives whose name begins with data-0.
            (links / tar.name.replace("-0", "-1", 1)).symlink_to(tar.resolve())
        return links

    def old(self, python: str, links: Path) -> dict:
        command = [python, "-c", HAKUBOORU, self.database.resolve(), links.resolve(), self.out().resolve()]
        process = subprocess.run(command, capture_output=True, text=True, check=True, cwd=links, env={})
        return json.loads(process.stdout.splitlines()[-1])

    def read_some(self, share: float) -> dict:
        """Read the images with `pread`, hash them, and write both files of each."""
        places = self._places(share)
        out = self.out()
        text = b"1girl, solo, " * 20
        start = time.perf_counter()
        for tar, members in places:
            file = os.open(tar, os.O_RDONLY)
            for number, offset, size in members:
                data = os.pread(file, size, offset)
                hashlib.sha256(data).hexdigest()
                write(f"{out}/{number}.webp", data)
                write(f"{out}/{number}.txt", text)
            os.close(file)
        return {"seconds": time.perf_counter() - start, "count": sum(len(members) for _, members in places)}

    def bare_loop(self, share: float) -> dict:
        script, tasks = FOLDER / "bare_loop.py", FOLDER / "tasks.json"
        script.write_text(BARE_LOOP)
        out = self.out()
        places = self._places(share)
        tasks.write_text(json.dumps([(tar, members, str(out)) for tar, members in places]))
        command = [sys.executable, script, tasks, str(self.workers)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(process.stdout) | {"count": sum(len(members) for _, members in places)}

    def _places(self, share: float) -> list:
        """Where the sampled posts' images lie, by tar; keeps the indexes that the export will use."""
        import numpy as np

        import hakubooru as hb
        from hakubooru.image.index import build_index, load_index, save_index, state_of

        with hb.open(self.database) as db:
            ids = db.posts.sample(fraction=share, seed=1).to_ids()
        places = []
        for tar in sorted(map(str, self.images.glob("*.tar"))):
            index = load_index(tar) or build_index(tar)
            save_index(tar, index, state_of(tar))
            rows = np.flatnonzero(np.isin(index.ids, ids))
            columns = (index.ids[rows].tolist(), index.offsets[rows].tolist(), index.sizes[rows].tolist())
            places.append((tar, list(zip(*columns, strict=True))))
        return places


def write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(file, data)
    os.close(file)


def tree_pss(pid: int) -> int:
    """Proportional set size in kB of a process and its children."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return own + sum(tree_pss(int(child)) for child in children)


def compare(bench: Bench, title: str, rounds: int, *, beside: tuple, ours: tuple, goal: float) -> None:
    runs: dict[str, list[dict]] = {beside[0]: [], ours[0]: []}
    for _ in range(rounds):
        for name, run in (beside, ours):
            runs[name].append(run())
    bench.clean()
    medians = {name: statistics.median(run["seconds"] for run in some) for name, some in runs.items()}
    for name, seconds in medians.items():
        print(f"{title:<12}{name:<38}{seconds:8.2f} s {runs[name][0]['count'] / seconds:9,.0f} a second")
    ratio = medians[ours[0]] / medians[beside[0]]
    if title in ("sparse", "tenth"):
        print(f"{title:<12}ratio of the first export of a process {ratio:.2f}")
        repeat = statistics.median(run["again"] for run in runs[ours[0]])
        ratio = repeat / medians[beside[0]]
        print(f"{title:<12}again, in the same process{repeat:22.2f} s")
    print(f"{title:<12}ratio {ratio:.2f} (goal: at most {goal})\n", flush=True)


def compare_with_old(bench: Bench, python: str, rounds: int) -> None:
    links = bench.links()
    ratios = []
    for _ in range(rounds):
        old, our = (
            run["count"] / run["seconds"] for run in (bench.old(python, links), bench.export(images=links))
        )
        print(f"hakubooru   HakuBooru 0.0.3 {old:,.0f} a second, ours {our:,.0f}", flush=True)
        ratios.append(our / old)
    print(
        f"hakubooru   {min(ratios):.1f} times its rate at the least (goal: 12 in every round)\n", flush=True
    )
    bench.clean()


def compare_memory(bench: Bench, tars: int) -> None:
    small = Bench(4, bench.workers, bench.fill)
    few, many = small.export(watch=True)["peak_mb"], bench.export(watch=True)["peak_mb"]
    print(f"memory      {few:.0f} MB for 4 tars, {many:.0f} MB for {tars} (goal: within 10%, at most 400)")
    small.clean()
    bench.clean()


def main() -> None:
    rows = ("copy", "sparse", "tenth", "webdataset", "convert", "memory", "hakubooru")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(rows))
    parser.add_argument("--tars", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--old", metavar="PYTHON", help="A Python that has HakuBooru 0.0.3.")
    parser.add_argument("--fill", metavar="FILE", type=Path, help="Read before each run.")
    options = parser.parse_args()
    bench = Bench(options.tars, options.workers, options.fill)
    few = 400 / (options.tars * 1000)
    shape = {"format": "webp", "quality": 90, "max_pixels": 1_000_000}
    table = {
        "copy": (("tar -xf", bench.unpack), ("pairs", bench.export), 1.2),
        "sparse": (
            ("read, hash, write", lambda: bench.read_some(0.01)),
            ("pairs", lambda: bench.export("0.01")),
            1.6,
        ),
        "tenth": (
            ("read, hash, write", lambda: bench.read_some(0.1)),
            ("pairs", lambda: bench.export("0.1")),
            1.6,
        ),
        "webdataset": (("tar -cf", bench.pack), ("shards", lambda: bench.export(sink="webdataset")), 1.5),
        "convert": (
            ("decode, resize, encode", lambda: bench.bare_loop(few)),
            ("pairs", lambda: bench.export(str(few), image=shape)),
            1.1,
        ),
    }
    try:
        for row in options.rows or rows:
            if row in table:
                beside, ours, goal = table[row]
                compare(bench, row, options.rounds, beside=beside, ours=ours, goal=goal)
            elif row == "memory":
                compare_memory(bench, options.tars)
            elif options.old:
                compare_with_old(bench, options.old, options.rounds)
    finally:
        for index in bench.images.glob("*.hbindex"):
            index.unlink()
        shutil.rmtree(bench.written, ignore_errors=True)


if __name__ == "__main__":
    main()
