"""Four checkpoints into one, beside reading and writing the same bytes.

    python tests/benchmarks/combine.py [--gigabytes 1] [--rounds 3]

Writes four files of so many gigabytes, of fp16 tensors of SDXL's sizes, and what comes of them. Each side is a process
of its own; they take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from hakubooru_trainer.model.stream import Held, write

FORMULA = "beta7 + 0.8*(anxl3 - anxl2) + 0.5*(base7 - beta7)"
NAMES = ("beta7", "anxl3", "anxl2", "base7")
SHAPES = ([49408, 1280], [10240, 1280], [1280, 5120], [1280, 1280, 3, 3], [1280, 1280], [1280])
PARTS = {
    "combine": "combine(FORMULA, files, out)",
    "the bytes": """
with out.open("wb") as file:
    for number, path in enumerate(files.values()):
        with path.open("rb") as source:
            while piece := source.read(1 << 23):
                if number == 0:
                    file.write(piece)
    os.fsync(file.fileno())
""",
}
PROCESS = """
import json, os, re, sys, time
from pathlib import Path
from hakubooru_trainer.merge import combine

FORMULA, folder = sys.argv[1], Path(sys.argv[2])
files = {path.stem: path for path in map(Path, sys.argv[3:])}
out = folder / "out.safetensors"

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

before, begun = peak(), time.perf_counter()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        files = [Path(folder, f"{name}.safetensors") for name in NAMES]
        for seed, path in enumerate(files):
            make(path, arguments.gigabytes, seed)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in PARTS}
        for _ in range(arguments.rounds):
            for name, work in PARTS.items():
                results[name].append(measured(work, Path(folder), files))
        print(f"four files of {files[0].stat().st_size / 1e9:.2f} GB\n")
        print("| what | seconds | peak MB | before it MB |\n|---|---|---|---|")
        for name, rounds in results.items():
            best = min(rounds, key=lambda figures: figures["seconds"])
            print(f"| {name} | {best['seconds']:.2f} | {best['peak']:.0f} | {best['before']:.0f} |")


def make(path: Path, gigabytes: float, seed: int) -> None:
    """A file of random fp16 tensors, the same ones again and again in other places."""
    numbers = torch.randn(1 << 22, generator=torch.Generator().manual_seed(seed)).half()
    tensors: dict[str, Held] = {}
    while sum(tensor.size * 2 for tensor in tensors.values()) < gigabytes * 1e9:
        tensors[f"tensor{len(tensors):04}"] = Held(torch.float16, list(SHAPES[len(tensors) % len(SHAPES)]))
    total = sum(tensor.size for tensor in tensors.values())
    pieces = (numbers[: min(len(numbers), total - start)] for start in range(0, total, len(numbers)))
    write(path, tensors, pieces, {})


def measured(work: str, folder: Path, files: list[Path]) -> dict[str, float]:
    """What a side took."""
    end = '\nprint(json.dumps({"seconds": time.perf_counter() - begun, "peak": peak(), "before": before}))'
    command = [sys.executable, "-c", PROCESS + work + end, FORMULA, folder, *files]
    process = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(re.findall(r"{.*}", process.stdout)[-1])
    time.sleep(1)
    return result


if __name__ == "__main__":
    main()
