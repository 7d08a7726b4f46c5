"""What a state costs: to take one up in the middle of a large run, and to save one of SDXL's size.

python tests/benchmarks/train_state.py [--images N] [--parameters N] [--folder DIR]

Needs 4 GB of disk and 8 GB of memory for a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import torch
from bitsandbytes.optim.lion import Lion8bit
from pyarrow import parquet
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru_trainer import durable
from hakubooru_trainer.checkpoint import Counters, States
from hakubooru_trainer.config.options import DataOptions, ModelOptions, Options, RunOptions, SaveOptions
from hakubooru_trainer.model.tiny import write_tiny
from training_pairs import write_pairs

UPDATE, ACCUMULATION = 10_000, 4
ROUNDS = 9
CONFIG = """
[run]
out = "{out}"
epochs = 0
updates = {updates}
device = "cpu"
precision = "fp32"
weights = "fp32"
checkpointing = false
threads = 1
[model]
path = "{folder}/tiny"
[[data]]
path = "{folder}/pairs"
[buckets]
area = 4096
min_side = 64
[text]
tokens = 75
[optimizer]
name = "lion"
[batch]
size = 4
accumulation = {accumulation}
"""


def write_images(folder: Path, images: int) -> None:
    """A manifest of so many rows, all of which name one picture."""
    row = parquet.read_table(write_pairs(folder, [(96, 96)]) / "manifest.parquet").slice(0, 1)
    table = row.take(pa.array(np.zeros(images, np.int64)))
    ids = pa.array(np.arange(1, images + 1))
    parquet.write_table(table.set_column(0, "id", ids), folder / "manifest.parquet")


def first_update(folder: Path, out: Path, updates: int) -> float:
    """Seconds from the start of a process to the line of its first update, which is the last of the run."""
    config = folder / "run.toml"
    config.write_text(
        CONFIG.format(out=out, folder=folder, updates=updates, accumulation=ACCUMULATION), encoding="utf-8"
    )
    start = time.time()
    code = "from hakubooru_cli.train import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", code, "run", str(config)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return (out / "metrics.jsonl").stat().st_mtime - start


def move_on(out: Path) -> None:
    """Let the state of the first update say that it is of a much later one."""
    state = out / "state" / "000001"
    mark = durable.read_mark(state)
    mark["counters"]["update"] = UPDATE
    mark["batches"] = UPDATE * ACCUMULATION
    durable.write_mark(state, mark)
    state.rename(state.with_name(f"{UPDATE:06d}"))
    (line,) = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [json.dumps(json.loads(line) | {"update": number}) + "\n" for number in range(1, UPDATE + 1)]
    (out / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")


def resuming(folder: Path, images: int) -> None:
    write_tiny(folder / "tiny")
    write_images(folder / "pairs", images)
    print(f"the first update, {images:,} images, from the start of the process:")
    later = []
    for number in range(3):
        out = folder / f"out{number}"
        fresh = first_update(folder, out, 1)
        move_on(out)
        resumed = first_update(folder, out, UPDATE + 1)
        later.append(resumed - fresh)
        print(
            f"  fresh {fresh:6.2f} s   after a resume at {UPDATE:,} {resumed:6.2f} s   {resumed - fresh:+.2f} s"
        )
    print(f"  median {statistics.median(later):+.2f} s")


def saving(folder: Path, parameters: int) -> None:
    weights = [torch.nn.Parameter(torch.randn(1_000_000)) for _ in range(parameters // 1_000_000)]
    optimizer = Lion8bit(weights, lr=1e-5)
    for weight in weights:  # one by one, so that memory does not hold all gradients
        weight.grad = torch.randn_like(weight)
        optimizer.step()
        weight.grad = None
    by_name = {f"weight{place}": weight.detach() for place, weight in enumerate(weights)}
    training = SimpleNamespace(
        adapter=SimpleNamespace(weights=by_name.items),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        average=SimpleNamespace(values={}),
    )
    options = Options(
        run=RunOptions(out=str(folder)),
        model=ModelOptions(path=""),
        data=(DataOptions(path=""),),
        save=SaveOptions(states=1),
    )
    data = SimpleNamespace(batches=1, fingerprint="", earlier_fingerprint="", repeats=[1])
    states = States(folder / "state", options, data)
    tensors = by_name | durable.take_tensors(optimizer.state_dict())[1]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    print(f"saving {parameters:,} parameters and their Lion8bit state, {size / 1e9:.2f} GB:")
    plain, state = [], []
    for number in range(1, ROUNDS + 1):
        plain_save, state_save = (
            lambda: write_plainly(tensors, folder),
            lambda n=number: states.save(Counters(update=n), training),
        )
        # In turn: what is written second finds the disk busy with what came before.
        for times, call in ((plain, plain_save), (state, state_save))[:: 1 if number % 2 else -1]:
            os.sync()
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(f"  safetensors and fsync {plain[-1]:6.2f} s   a state {state[-1]:6.2f} s")
    medians = statistics.median(plain), statistics.median(state)
    print(
        f"  medians               {medians[0]:6.2f} s           {medians[1]:6.2f} s   {medians[1] / medians[0]:.2f} x"
    )


def write_plainly(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Write tensors as a state is written: beside the one before, which then goes."""
    save_file(tensors, folder / "new.safetensors")
    with (folder / "new.safetensors").open("rb+") as file:
        os.fsync(file.fileno())
    (folder / "new.safetensors").replace(folder / "plain.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--parameters", type=int, default=385_000_000)
    parser.add_argument(
        "--folder", help="On the disk that is measured; else the system's for temporary files."
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        resuming(folder, arguments.images)
        saving(folder, arguments.parameters)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
