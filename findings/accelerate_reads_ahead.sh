#!/usr/bin/env bash
# accelerate: a prepared DataLoader reads one batch ahead to know the last one, also without workers. Where the data is a stream that goes on, each for loop that ends early (a limit of steps, an evaluation in between, a new bucket) loses a batch without a
# word, and random numbers drawn for the batch come before those of the step in hand. Expected: what a DataLoader of torch without workers gives: the next loop begins where the last one stopped.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from itertools import islice
import accelerate, torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, IterableDataset

class Stream(IterableDataset):
    """Posts in their order, going on where the last reader stopped."""

    def __init__(self):
        self.posts = iter(range(100))

    def __iter__(self):
        return self.posts

def read(loader):
    """The batches of three loops that end after two each."""
    return [[batch.tolist() for batch in islice(loader, 2)] for _ in range(3)]

plain = read(DataLoader(Stream(), batch_size=2))
prepared = read(Accelerator(cpu=True).prepare(DataLoader(Stream(), batch_size=2)))
print("accelerate", accelerate.__version__, "torch", torch.__version__)
print("  plain:", plain)
print("  prepared:", prepared)
assert plain == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]], plain
assert prepared == [[[0, 1], [2, 3]], [[6, 7], [8, 9]], [[12, 13], [14, 15]]], prepared
PYTHON
