"""What it takes to begin with many images: `hakubooru-train plan`, and a run up to its first update.

python tests/benchmarks/train_plan.py [--images N] [--folder DIR]

A manifest of N rows is made up, with captions of about thirty tags, sizes of all shapes, and one picture that all rows
name. Each figure is that of a process of its own, from its start, the import of torch included; memory is its peak RSS.
Needs 0.3 GB of disk for a million images.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru_trainer.model.tiny import write_tiny
from training_pairs import write_pairs

ROWS_A_GROUP = 4_000
ADJECTIVES = ("long", "short", "blue", "red", "black", "white", "open")
NOUNS = ("hair", "eyes", "dress", "sky", "ribbon", "gloves", "skirt", "smile", "hat", "shirt", "sleeves")
LABELS = "masterpiece, newest, highres, safe"
CONFIG = """
[run]
out = "{folder}/out"
epochs = 0
updates = 1
device = "cpu"
precision = "fp32"
weights = "fp32"
checkpointing = false
[model]
path = "{folder}/tiny"
[[data]]
path = "{folder}/pairs"
[buckets]
area = {area}
min_side = 64
[captions]
drop_tags = 0.15
tags = "general"
[optimizer]
name = "lion"
[batch]
size = 4
"""


def write_manifest(folder: Path, images: int) -> None:
    """A manifest of so many rows, in groups as the export writes them, all of which name one picture."""
    (row,) = parquet.read_table(write_pairs(folder, [(96, 96)]) / "manifest.parquet").slice(0, 1).to_pylist()
    draw = np.random.default_rng(1)
    words = np.array([f"{one} {other}" for one in ADJECTIVES for other in NOUNS])
    kinds = {"id": pa.int64(), "width": pa.int32(), "height": pa.int32(), "bytes": pa.int64()}
    schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in row])
    with parquet.ParquetWriter(folder / "manifest.parquet", schema, compression="zstd") as writer:
        for first in range(1, images + 1, ROWS_A_GROUP):
            ids = np.arange(first, min(first + ROWS_A_GROUP, images + 1))
            tags = words[draw.integers(0, len(words), (len(ids), 24))]
            rows = {name: [row[name]] * len(ids) for name in row}
            rows["id"] = ids.tolist()
            rows["sha256"] = [draw.bytes(32).hex() for _ in ids]
            rows["caption"] = [
                f"1girl, character {number % 9999}, series {number % 999}, artist {number % 99_999} ||| "
                f"{', '.join(some)}, {LABELS}"
                for number, some in zip(rows["id"], tags.tolist(), strict=True)
            ]
            parts = {"people": 1, "character": 1, "copyright": 1, "artist": 1, "general": 24}
            rows["parts"] = [json.dumps(parts | {"quality": 1, "year": 1, "meta": 1, "rating": 1})] * len(ids)
            writer.write_table(pa.table(rows, schema=schema))


def measured(command: str, config: Path) -> tuple[float, float, str]:
    """Seconds and peak megabytes of a process, and what it said."""
    start = time.perf_counter()
    code = "from hakubooru_cli.train import main; main()"
    reading, writing = os.pipe()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, command, str(config)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
    )
    os.close(writing)
    with os.fdopen(reading) as file:
        output = file.read()
    _, status, usage = os.wait4(child, 0)
    assert status == 0, output
    return time.perf_counter() - start, usage.ru_maxrss / 1e3, output


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", help="Where to write; else the system's folder for temporary files.")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        write_tiny(folder / "tiny")
        write_manifest(folder / "pairs", arguments.images)
        config = folder / "run.toml"
        config.write_text(CONFIG.format(folder=folder, area=1024 * 1024), encoding="utf-8")
        seconds, peak, output = measured("plan", config)
        print(output)
        print(f"plan of {arguments.images:,} images: {seconds:.1f} s, {peak:,.0f} MB")
        config.write_text(CONFIG.format(folder=folder, area=4096), encoding="utf-8")
        start = time.time()
        for what in ("a run of one update, to its end", "the same command again, which finds it done"):
            seconds, peak, _ = measured("run", config)
            print(f"{what}: {seconds:.1f} s, {peak:,.0f} MB")
            if start:  # the update's line is the last that the first run wrote
                print(
                    f"its update was done after {(folder / 'out/metrics.jsonl').stat().st_mtime - start:.1f} s"
                )
            start = 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
