"""Evaluations that are killed, or run out of disk, lose nothing and end as if nothing had happened."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import evaluation_processes
from disks import enlarge, small_disk
from hakubooru.errors import IncompleteError
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate.evaluation import evaluate

RESULTS = ("characters.parquet", "references.parquet", "scores.parquet", "report.html")


def contents(folder):
    files = [folder / name for name in RESULTS] + sorted((folder / "pictures").rglob("*.png"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Grainy:
    """Draws noise, which no file makes smaller."""

    identity = "noise"
    tokens = "words"

    def draw(self, batch):
        return [self._one(picture) for picture in batch]

    def forecast(self, pictures):
        return f"{len(pictures)} pictures of noise"

    def _one(self, picture):
        draw = np.random.default_rng(picture.seed)
        return Image.fromarray(draw.integers(0, 256, (picture.height, picture.width, 3), np.uint8))


def painted(task):
    with Ranks(torch.device("cpu")) as ranks:
        return evaluate(task, Grainy, ranks, print)


@pytest.mark.kill
def test_a_killed_evaluation_ends_as_one_that_was_not(task, options, tmp_path):
    """Killed at a quarter, a half and so on of all moments at which something reaches the disk."""
    names = [f"hero_{number:02d}_(planted)" for number in range(4)]
    fresh = options(references={"cache": str(tmp_path / "cache"), "count": 3}, score={"batch": 2})
    whole = task("whole", options=fresh, names=names)
    moments = evaluation_processes.run(whole) - 100
    assert moments > 30
    victim = task(
        "cut",
        names=names,
        options=options(references={"cache": str(tmp_path / "other"), "count": 3}, score={"batch": 2}),
    )
    kills = 0
    for at in (2, moments // 4, moments // 4, moments // 4):
        code = evaluation_processes.run(victim, at)
        kills += code == -signal.SIGKILL
        assert code == -signal.SIGKILL or code >= 100
    assert kills >= 3
    assert evaluation_processes.run(victim) >= 100
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert not list(Path(victim.out).rglob("*.part"))


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(task, options, tmp_path):
    names = [f"hero_{number:02d}_(planted)" for number in range(4)]
    large = options(drawing={"area": 256 * 256, "step": 64, "min_side": 128})
    with small_disk(tmp_path / "disk", "1m") as disk:
        full = replace(task(options=large, names=names), out=disk / "out")
        with pytest.raises(OSError, match="No space left on device"):
            painted(full)
        pictures = {path: path.read_bytes() for path in (disk / "out" / "pictures").rglob("*.png")}
        assert 0 < len(pictures) < 8
        enlarge(disk)
        painted(full)
        assert all(path.read_bytes() == data for path, data in pictures.items())
        painted(replace(full, out=tmp_path / "whole"))
        assert contents(disk / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_a_full_disk_of_the_cache_is_named(task, options, tmp_path, few):
    with small_disk(tmp_path / "disk", "100k") as disk:
        full = task(options=options(references={"cache": str(disk / "cache")}), names=few)
        with pytest.raises(IncompleteError, match=r"features\.db could not be written .* Make room"):
            painted(full)
        enlarge(disk)
        painted(full)
