"""Kill a training run again and again with SIGKILL, let it end, and compare its weights with those of an undisturbed one.

python tests/benchmarks/train_kills.py [--kills N] [--precision fp32|fp16] [--seed N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[1]))

from hakubooru_trainer.model.tiny import write_tiny
from training_pairs import write_pairs
from training_signals import call

UPDATES = 24
CONFIG = """
[run]
out = "{out}"
epochs = 0
updates = {updates}
device = "cpu"
precision = "{precision}"
weights = "fp32"
checkpointing = false
threads = 1
[model]
path = "{folder}/tiny"
[[data]]
path = "{folder}/pairs"
[buckets]
area = 4096
step = 16
min_side = 32
max_side = 128
[captions]
drop_tags = 0.15
[text]
tokens = 75
[optimizer]
name = "lion8bit"
lr = 1e-2
warmup = 5
[lokr]
save = "fp32"
[batch]
size = 2
accumulation = 2
[cache]
latents = "{out}/latents"
[save]
every = 1
"""


def weights(out: Path) -> str:
    digest = hashlib.sha256()
    with safe_open(out / "lokr.safetensors", "np") as file:
        for name in sorted(file.keys()):
            digest.update(name.encode() + np.ascontiguousarray(file.get_tensor(name)).tobytes())
    return digest.hexdigest()


def updates(out: Path) -> list[int]:
    with (out / "metrics.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line)["update"] for line in file]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiny(folder / "tiny")
        write_pairs(folder / "pairs", [(96, 96)] * 5 + [(64, 128)] * 2 + [(160, 96)])

        def config(out: Path) -> Path:
            path = out.with_suffix(".toml")
            text = CONFIG.format(out=out, folder=folder, precision=arguments.precision, updates=UPDATES)
            path.write_text(text, encoding="utf-8")
            return path

        whole = folder / "whole"
        start = time.perf_counter()
        code, output = call(config(whole))
        seconds = time.perf_counter() - start
        assert code == 0, output
        print(f"undisturbed   {seconds:6.2f} s                        weights {weights(whole)}")
        draw = random.Random(arguments.seed)
        kills = rounds = 0
        while kills < arguments.kills:
            out = folder / f"killed{rounds}"
            rounds += 1
            code = -9
            while code == -9:
                delay = draw.uniform(0, seconds / 2) if kills < arguments.kills else None
                code, output = call(config(out), kill_after=delay)
                if code == -9:
                    kills += 1
                    states = sorted(state.name for state in out.glob("state/*"))
                    print(f"kill {kills:3}  after {delay:6.2f} s   states {', '.join(states) or 'none'}")
            assert code == 0, output
            print(f"ended                                            weights {weights(out)}")
            assert weights(out) == weights(whole)
            assert updates(out) == updates(whole)
        print(
            f"{kills} kills, {rounds} runs: every weight the same bits, no line of metrics twice, none missing"
        )


if __name__ == "__main__":
    main()
